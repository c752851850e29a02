"""Reading the tensors of one known torch file, without torch and without trusting a pickle.

The only pickle that this project reads is a file of pinned content: the hash of its bytes is compared
before a single one is interpreted. What then interprets them knows nothing but a table of tensors: every
name that the file asks for is looked up in an allow-list of stand-ins defined here, and anything else is
refused.

The format is the one that ``torch.save`` wrote before version 1.6: a magic number, a protocol version, a
description of the machine, the table with its storages as persistent ids, the list of storage keys, then
for each storage in that order its number of elements (8 bytes) and its raw little-endian elements.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


class UnsafePickle(pickle.UnpicklingError):
    """The file asks for something that is no part of a table of tensors, or is not laid out as one."""


@dataclass
class _Storage:
    """A flat run of elements, filled in once the table has been read."""

    dtype: str
    size: int
    data: npt.NDArray[Any] | None = None


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def array(self) -> npt.NDArray[Any]:
        """A copy of the elements, in C order; bounds are checked, for the shape comes from the file."""
        data = self.storage.data
        if data is None or min((self.offset, *self.shape, *self.stride), default=0) < 0:
            raise UnsafePickle("a tensor without a storage, or of negative extent")
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.stride, strict=True))
        if 0 not in self.shape and last >= data.size:
            raise UnsafePickle("a tensor that reaches beyond its storage")
        strides = [step * data.itemsize for step in self.stride]
        return np.lib.stride_tricks.as_strided(data[self.offset :], self.shape, strides).copy()


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> _Tensor:
    """Stands in for ``torch._utils._rebuild_tensor_v2``; gradients and hooks are of no interest."""
    return _Tensor(storage, offset, tuple(shape), tuple(stride))


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    # Of a class of storage only the element type matters; a string cannot be called.
    ("torch", "FloatStorage"): "<f4",
    ("torch", "LongStorage"): "<i8",
}


class _TensorUnpickler(pickle.Unpickler):
    """Knows the names in ``_ALLOWED`` and nothing else."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise UnsafePickle(
                f"{module}.{name} is not on the list of what a table of tensors needs"
            ) from None

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", "<f4" | "<i8" as dtype, str(key), str(), int(size), None):
                return self.storages.setdefault(key, _Storage(dtype, size))
        raise UnsafePickle(f"{pid!r} is no storage")


def read_tensors(path: Path, sha256: str) -> dict[str, npt.NDArray[Any]]:
    """Reads the table of tensors (a state dict) of a legacy torch file.

    Args:
        path: the file.
        sha256: the hash that the file's bytes must have, in hexadecimal.

    Returns:
        Arrays by name, with the shapes and element types of the file.

    Raises:
        UnsafePickle: the hash is another, or the content is anything but a table of tensors.
    """
    content = path.read_bytes()
    actual = hashlib.sha256(content).hexdigest()
    if actual != sha256:
        raise UnsafePickle(f"{path} has sha256 {actual}, not {sha256}; not read")
    return _parse(io.BytesIO(content))


def _parse(file: BinaryIO) -> dict[str, npt.NDArray[Any]]:
    """The tensors of a file whose hash has been checked."""
    if (_load(file), _load(file)) != (_MAGIC, _PROTOCOL):
        raise UnsafePickle("not a torch file of the legacy format")
    if not _load(file).get("little_endian"):
        raise UnsafePickle("written on a big-endian machine")
    unpickler = _TensorUnpickler(file)
    table = unpickler.load()
    if not isinstance(table, OrderedDict) or not all(isinstance(t, _Tensor) for t in table.values()):
        raise UnsafePickle("not a table of tensors")
    for key in _load(file):
        storage = unpickler.storages[key]
        (size,) = struct.unpack("<q", file.read(8))
        if size != storage.size:
            raise UnsafePickle(f"storage {key} has {size} elements; the table says {storage.size}")
        dtype = np.dtype(storage.dtype)
        storage.data = np.frombuffer(file.read(size * dtype.itemsize), dtype)
    if file.read(1):
        raise UnsafePickle("there is more in the file than the table speaks of")
    return {name: tensor.array() for name, tensor in table.items()}


def _load(file: BinaryIO) -> Any:
    return _TensorUnpickler(file).load()
