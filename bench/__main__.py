"""``python -m bench``. Nothing of the current folder is imported, whatever lies there."""

import os
import sys

# "-m" puts the current folder first, where a keras.py or numpy.py would be taken for the real one. Children,
# whoever starts them, do without it as well; where strategies are asked for that lie there, ``plugins.here`` puts
# it last.
if not sys.flags.safe_path:
    del sys.path[0]
os.environ["PYTHONSAFEPATH"] = "1"
# A checkout that is not installed is found beside this very file.
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if ROOT not in sys.path:
    sys.path.append(ROOT)

from bench.cli.app import main  # noqa: E402

main()
