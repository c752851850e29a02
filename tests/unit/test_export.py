"""What of an export needs no training: which files train.py may read itself, and names as code and Markdown."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import cards, export


@pytest.mark.parametrize(
    ("mode", "suffix", "plain"),
    [
        ("RGB", "jpg", True), ("RGBA", "png", True), ("L", "png", True), ("P", "gif", True), ("1", "png", True),
        ("CMYK", "jpg", True), ("I;16", "png", False), ("F", "tiff", False), ("I", "tiff", False),
    ],
)  # fmt: skip
def test_deep_gray_is_handed_over_as_pixels(tmp_path: Path, mode: str, suffix: str, plain: bool) -> None:
    image = Image.fromarray(np.zeros((9, 9, 3), np.uint8))
    path = tmp_path / f"image.{suffix}"
    if mode in ("I;16", "I", "F"):
        dtype = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        image = Image.fromarray(np.zeros((9, 9), dtype))
    else:
        image = image.convert(mode)
    image.save(path)
    assert export._is_plain(path) == plain


HOSTILE = ['"""', "'", "\\", "\n", "{{ x }}", "é", "\udcff", "]", "\u2028"]


def test_names_are_literals() -> None:
    for names in (HOSTILE, HOSTILE * 9):
        assert ast.literal_eval(cards._literal(names)) == names


def test_comments_cannot_end() -> None:
    assert set(export._plain("".join(HOSTILE))) <= set("? x")


def test_markdown_stays_text() -> None:
    escaped = cards.markdown("| <b> [x](y) `code` # *a* _b_ &amp; $1$")
    assert escaped == r"\| \<b\> \[x\](y) \`code\` \# \*a\* \_b\_ \&amp; \$1\$"


def test_nothing_of_keras_is_loaded_before_it_is_needed() -> None:
    code = "import sys, bench.export; assert not {'keras', 'tensorflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
