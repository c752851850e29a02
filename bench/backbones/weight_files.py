"""Whether a file of the user's holds the weights of a backbone, found out before any cell runs.

What a file is not shows its first bytes. Whether it is of this very network only Keras knows: a process that has it
builds the network and loads the file, once; the answer is kept for as long as file, network and Keras are the same.
"""

from __future__ import annotations

import importlib.metadata
import json
import zipfile
from pathlib import Path

from bench.backbones.plugin import backbone_origin
from bench.backbones.spec import BackboneSpec
from bench.backbones.weights import Ask, Weights, ask_child
from bench.errors import RequestError
from bench.system import sealed
from bench.system.files import LFS_POINTER, cache_dir, digest
from bench.system.names import KERAS, PREFIX

HDF5 = b"\x89HDF\r\n\x1a\n"
"""What such a file begins with."""

_SAVE = "Load it with Keras, and write the weights of the network without its classifier with save_weights."


def check_fit(spec: BackboneSpec, size: int, weights: Weights, ask: Ask | None = None) -> None:
    """Refuses a file that does not hold the weights of this backbone. Imports no Keras.

    Args:
        spec: the backbone.
        size: of its inputs.
        weights: what ``resolve_weights`` has found for it; all but files of the user's and of plug-ins are known
            to be right.
        ask: asks Keras; default: a child process of its own.

    Raises:
        RequestError: of field ``weights``; the message says what the file is and what it should be.
    """
    own = spec.name.startswith(KERAS)
    is_users = weights.kind == "file" or spec.is_published or own
    if not is_users or weights.path is None or spec.weights.startswith(PREFIX):
        return
    path, expected = Path(weights.path), expected_of(spec)
    if not own and (problem := problem_of(path, spec.is_published)):
        raise RequestError("weights", str(path), expected, problem)
    key = {
        "architecture": spec.architecture,
        "size": size,
        "sha256": weights.sha256,
        "origin": backbone_origin(spec.name),
        "keras": importlib.metadata.version("keras"),
    }
    kept = cache_dir() / "weights" / f"fit-{digest(key)}.json"
    if sealed.read(kept) is not None:
        return
    answer = (ask or ask_child)(spec, size)
    if "error" in answer:
        raise RequestError("weights", str(path), expected, answer["error"])
    sealed.write(kept, json.dumps(key, indent=1))


def expected_of(spec: BackboneSpec) -> str:
    """What a weights file should be, as the end of a sentence."""
    if spec.is_published:
        return f"a file of the weights that {spec.name} was published with"
    if spec.name.startswith(KERAS) and spec.weights == "pretrained":
        return "a .keras file of a network that can serve as a backbone"
    return f"a file written by save_weights of {spec.architecture} without its classifier"


def problem_of(path: Path, older: bool = False) -> str:
    """Why a file cannot be a ``.weights.h5`` of any network, a sentence or two; empty if it may be one.

    Args:
        path: of the file.
        older: whether it may have the format of Keras 2.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        return f"It cannot be read ({error.strerror})."
    if not head:
        return "It is empty."
    if head.startswith(LFS_POINTER):
        return "It is a git-lfs pointer and not the file itself: git lfs pull fetches that."
    if head.lstrip().startswith(b"<"):
        return "It is a web page: the download has led to a page and not to the file."
    if head.startswith(b"PK"):
        return _archive(path)
    if not head.startswith(HDF5):
        return f"It is no HDF5 file: it begins with {head[:12]!r}."
    return _opened(path, older)


def _archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return "It is a damaged archive."
    if "model.weights.h5" in names:
        return f"It is a whole model (.keras). {_SAVE}"
    return (
        "It is a file of PyTorch."
        if any(name.endswith("data.pkl") for name in names)
        else "It is an archive."
    )


def _opened(path: Path, older: bool) -> str:
    """The problem of an HDF5 file."""
    import h5py  # type: ignore[import-untyped]

    try:
        with h5py.File(path, "r") as file:
            if "model_config" in file.attrs or "model_weights" in file:
                return f"It is a whole model (.h5). {_SAVE}"
            if "layer_names" in file.attrs and not older:
                return f"It holds weights in the format of Keras 2. {_SAVE}"
            return "" if len(file) else "It holds nothing."
    except (OSError, RuntimeError, KeyError) as error:
        return f"It is damaged or incomplete ({str(error).splitlines()[0]})."
