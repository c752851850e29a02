"""Which files Keras loads weights from: watched, or given. Keras is imported when it is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def watching(download: bool) -> Iterator[dict[str, str]]:
    """Watches Keras look for a file: gives ``path``, ``file``, ``folder`` and ``origin``, as far as it gets."""
    from keras.src.utils import file_utils

    keras_get_file, keras_retrieve = file_utils.get_file, file_utils.urlretrieve
    seen: dict[str, str] = {}

    def get_file(*args: Any, **kwargs: Any) -> str:
        path = Path(
            keras_get_file(*args, **kwargs)
        ).absolute()  # not resolved: Keras goes by how the name ends
        seen.update(path=str(path), file=path.name, folder=str(path.parent))
        return str(path)

    def retrieve(origin: str, target: str, *args: Any) -> None:
        # Not to its final name: Keras would take the half file that a killed download leaves for a whole one.
        path, part = Path(target), Path(f"{target}.{os.getpid()}.part")
        seen.update(file=path.name, folder=str(path.parent), origin=origin)
        if not download:
            raise FileNotFoundError(f"{path} is not there")
        try:
            keras_retrieve(origin, str(part), *args)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    # The applications call get_file through this module, and it calls urlretrieve.
    file_utils.get_file, file_utils.urlretrieve = get_file, retrieve
    try:
        yield seen
    finally:
        file_utils.get_file, file_utils.urlretrieve = keras_get_file, keras_retrieve


@contextmanager
def giving(path: Path | None) -> Iterator[None]:
    """Has Keras load the weights in this file, whichever it looks for; None: it looks for none."""
    from keras.src.utils import file_utils

    keras_get_file = file_utils.get_file
    if path is not None:
        file_utils.get_file = lambda *args, **kwargs: str(path)
    try:
        yield
    finally:
        file_utils.get_file = keras_get_file
