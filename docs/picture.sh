#!/usr/bin/env bash
# README's picture: the first screen of the report of a run directory, 1280 x 800 at twice the pixels.
# Needs Chromium. Usage: docs/picture.sh runs/NAME, from the folder above runs/: the page names commands with this path.
set -euo pipefail
python -m bench report "${1:?a run directory}"
page=$(realpath "$1/report.html")
picture=$(dirname "$(realpath "$0")")/images/first-screen.png
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$profile" --force-device-scale-factor=2 \
    --window-size=1280,800 --screenshot="$picture" "file://$page" 2>/dev/null
# Fewer colours, a quarter of the bytes: the page has few.
python - "$picture" <<'PYTHON'
import sys
from PIL import Image
Image.open(sys.argv[1]).convert("RGB").quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(sys.argv[1], optimize=True)
PYTHON
echo "$picture: $(stat -c %s "$picture") bytes"
