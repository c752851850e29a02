"""A folder with everything that people and programs leave in folders: checked and run without a traceback."""

from __future__ import annotations

import csv
import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.system.names import printable

RNG = np.random.default_rng(0)
MARKUP = "<img src=x onerror=alert(1)>"


def picture(width: int = 40, height: int = 30, mode: str = "RGB") -> Image.Image:
    return Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)


def encoded(format: str, mode: str = "RGB", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture(mode=mode).save(stream, format, **options)
    return stream.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing of it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("../../evil.png", "x")
    return stream.getvalue()


def damaged(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(b ^ 0xFF for b in content[middle : middle + 40]) + content[middle + 40 :]


BAD: dict[str, bytes] = {
    "empty.jpg": b"",
    "truncated.jpg": encoded("JPEG")[:300],
    "truncated.png": encoded("PNG")[:500],
    "truncated.gif": encoded("GIF")[:200],
    "text.png": b"hello\n" * 100,
    "page.jpg": b"<html><body>404</body></html>",
    "vector.png": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "document.jpg": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
    "archive.png": archive(),
    "postscript.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
    "random.bmp": RNG.bytes(5000),
    "damaged.png": damaged(encoded("PNG")),
    "bomb.png": png_header(60_000, 60_000),
    "nothing.png": png_header(0, 10),
    "no-data.png": png_header(20, 20),
    "pickle.jpg": b"\x80\x04\x95\x1f\x00\x00\x00cos\nsystem\n",
    "nan.tiff": b"",  # written below
    "zeros.webp": bytes(1000),
}
ODD: dict[str, bytes] = {
    "png-called.jpg": encoded("PNG"),
    "jpeg-called.png": encoded("JPEG"),
    "animated.gif": encoded("GIF", save_all=True, append_images=[picture(), picture()]),
    "cmyk.jpg": encoded("JPEG", "CMYK"),
    "palette.png": encoded("PNG", "P", transparency=0),
    "gray.png": encoded("PNG", "L"),
    "one-bit.png": encoded("PNG", "1"),
    "transparent.png": encoded("PNG", "RGBA"),
    "lossless.webp": encoded("WEBP", lossless=True),
    "pages.tiff": encoded("TIFF", save_all=True, append_images=[picture()]),
    "turned.jpg": encoded(
        "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03" + b"\xff" * 20
    ),
}
NAMES: list[str | bytes] = [
    f"{MARKUP}.png", "line\nbreak.png", "tab\tand\rreturn.png", "=cmd|' C calc'!A0.png", "+1.png", "@SUM(1).png",
    "'quoted' \"name\" `id`.png", "$(touch evil).png", "{{ 7*7 }}.png", "\x1b[31mred\x1b]0;title\x07.png",
    "..png", "%s%n%00.png", "\u202egnp.exe.png", "e\u0301.png", "猫.png", "a" * 250 + ".png", b"\xff\xfe.png",
    "-rf.png", "~root.png", "CON.png", "semi;colon,comma.png",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("hostile")
    root = top / "a 'folder' & <more>"
    classes: list[str] = ["good", "<b>bold</b>", "=1+1", "new\nline"]
    for name in classes:
        (root / name).mkdir(parents=True)
        for i in range(8):
            picture().save(root / name / f"{i}.png")
    good = root / "good"
    for name, content in (BAD | ODD).items():
        (good / name).write_bytes(content)
    Image.fromarray(np.full((20, 20), np.nan, np.float32)).save(good / "nan.tiff")
    for name in NAMES:
        path = os.fsencode(good) + b"/" + (name if isinstance(name, bytes) else os.fsencode(name))
        with open(path, "wb") as file:
            picture().save(file, "PNG")
    picture(1, 1).save(good / "one-pixel.png")
    picture(1, 2000).save(good / "narrow.png")
    (top / "outside.png").write_bytes(encoded("PNG"))
    (good / "link-outside.png").symlink_to(top / "outside.png")
    (good / "link-to-itself.png").symlink_to(good / "link-to-itself.png")
    (good / "link-to-nothing.png").symlink_to(good / "nothing-there.png")
    (root / "link-to-folder").symlink_to(top)
    os.mkfifo(good / "pipe.png")
    (good / "folder.png").mkdir()
    for name in (".DS_Store", "Thumbs.db", "notes.txt", "=HYPERLINK(1).md"):
        (good / name).write_text("x")
    (good / "copy.png").write_bytes((root / "=1+1" / "0.png").read_bytes())
    return root


LINKS = ["link-outside.png", "link-to-itself.png", "link-to-nothing.png", "pipe.png"]


def test_there_are_enough_kinds() -> None:
    assert len(BAD) + len(LINKS) >= 20
    assert len(BAD) + len(LINKS) + len(ODD) + len(NAMES) >= 50


def test_check_names_each(folder: Path, cli: Callable[..., Any]) -> None:
    result = cli("check", folder, "--fractions", 1, "--json")
    assert result.rc == 0, result.stderr
    assert "Traceback" not in result.stderr
    found = json.loads(result.stdout)
    everything = json.dumps(found, ensure_ascii=False)
    for name in [*BAD, *LINKS, "png-called.jpg", "jpeg-called.png", "animated.gif", "pages.tiff", "copy.png"]:
        assert f"good/{name}" in everything, name
    text = cli("check", folder, "--fractions", 1)
    assert text.rc == 0
    assert "Traceback" not in text.stdout + text.stderr
    assert "\x1b" not in text.stdout + text.stderr
    assert "\u202e" not in text.stdout


def test_a_run_of_it_is_safe_wherever_it_is_shown(
    folder: Path, cli: Callable[..., Any], tmp_path: Path
) -> None:
    out = tmp_path / "out 'dir' <i>"
    flags = ("--strategy", "majority", "--fractions", "0.5,1", "--seeds", "2", "--image-size", "32")
    result = cli("run", "--dataset", folder, *flags, "--out", out)
    assert result.rc == 0, result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert "\x1b" not in result.stdout + result.stderr
    page = (out / "report.html").read_text(encoding="utf-8")
    assert MARKUP not in page
    assert "<b>bold</b>" not in page
    assert "<more>" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    for name in ("truncated.jpg", "bomb.png", "link-outside.png", "pipe.png"):
        assert name in page
    for path in out.rglob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.reader(file):
                assert not [cell for cell in row if cell[:1] in ("=", "+", "@", "\t", "\r")], path
    ids = np.load(next((out / "predictions").glob("*.npz")), allow_pickle=False)["ids"]
    assert any("good/" in str(i) for i in ids)
    assert not (Path.cwd() / "evil").exists()
    assert printable("\udcff\udcfe") == "\\xff\\xfe"
