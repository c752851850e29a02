"""Reading a plan file as editors leave it: whatever its byte order mark, and with the cause of every mistake."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.errors import RequestError
from bench.system.files import read_file
from bench.system.texts import MARKS

_SINGLE_QUOTES = (
    "In double quotes a backslash starts an escape: use single quotes ('C:\\photos') or slashes (C:/photos)."
)
_CURLY = re.compile("[\u201c\u201d\u201e\u2018\u2019\u201a]")


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a plan file, not yet validated.

    Raises:
        RequestError: it is missing, in another encoding than UTF-8 or marked UTF-16, or not TOML; with the line.
    """
    text = read_text(path)
    try:
        content = tomllib.loads(text)
    except RecursionError:
        raise RequestError("PLAN", str(path), "a TOML file that is not nested so deeply") from None
    except ValueError as error:  # no TOML, or a number of thousands of digits
        reason = str(error)
        raise RequestError(
            "PLAN", str(path), f"a readable TOML file ({reason})", _remedy(text, reason)
        ) from None
    for key, value in _strings(content):
        # "C:\temp" is C:, a tabulator, emp; in paths as they are stored it may be just that.
        if "/" not in value and any(letter in "\b\t\n\f\r" for letter in value):
            raise RequestError("PLAN", str(path), f"free of control characters in {key}", _SINGLE_QUOTES)
    return content


def read_text(path: Path) -> str:
    """The text of a plan file, its lines ended by newlines.

    Raises:
        RequestError: it is missing, no file, too large, or in another encoding than UTF-8 or marked UTF-16.
    """
    try:
        raw = read_file(path)
    except FileNotFoundError:
        raise RequestError("PLAN", str(path), "the path of a TOML file that exists") from None
    except OSError as error:
        raise RequestError("PLAN", str(path), f"a file that can be read ({error.strerror})") from None
    # Without a mark it is UTF-8, as TOML asks for; no other encoding is guessed.
    encoding = next((name for mark, name in MARKS if raw.startswith(mark)), "utf-8")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        remedy = f"Line {line} holds bytes of another encoding. Save it as UTF-8 in your editor."
        raise RequestError("PLAN", str(path), "a TOML file in UTF-8", remedy) from None
    if "\0" in text:
        remedy = "It seems to be UTF-16 without a byte order mark. Save it as UTF-8 in your editor."
        raise RequestError("PLAN", str(path), "a TOML file in UTF-8", remedy)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _remedy(text: str, reason: str) -> str:
    """What has probably led to an error of the TOML reader, by the line that it names."""
    found = re.search(r"at line (\d+)", reason)
    lines = text.split("\n")
    line = lines[min(int(found[1]), len(lines)) - 1] if found else ""
    if _CURLY.search(line):
        return "The line holds curly quotes. Use straight ones."
    return _SINGLE_QUOTES if re.search(r'"[^"]*\\', line) else ""


def _strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """All texts of a plan, with the keys that they stand under."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _strings(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner, key)
