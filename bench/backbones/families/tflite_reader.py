"""Reading the weights of a TensorFlow Lite file of pinned content, without its runtime.

The format is a flatbuffer (github.com/google/flatbuffers, docs: internals), of which this reads four tables of
tensorflow/compiler/mlir/lite/schema/schema.fbs: the model, its first graph, the tensors of that, and their buffers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# The numbers of fields in their tables.
_GRAPHS, _BUFFERS = 2, 4
_TENSORS = 0
_SHAPE, _TYPE, _BUFFER, _NAME = 0, 1, 2, 3
_DATA = 0
_FLOAT32 = 0


@dataclass(frozen=True)
class _Table:
    data: bytes
    at: int

    def place(self, field: int) -> int:
        """Where a field lies; 0 if it has its default."""
        index = self.at - self._read("i", self.at)
        entry = 4 + 2 * field
        offset: int = self._read("H", index + entry) if entry < self._read("H", index) else 0
        return self.at + offset if offset else 0

    def number(self, field: int, kind: str) -> int:
        place = self.place(field)
        return self._read(kind, place) if place else 0

    def vector(self, field: int) -> tuple[int, int]:
        """Where its elements begin, and how many there are."""
        place = self.place(field)
        if not place:
            return 0, 0
        start = place + self._read("I", place)
        return start + 4, self._read("I", start)

    def tables(self, field: int) -> list[_Table]:
        start, count = self.vector(field)
        return [_Table(self.data, at + self._read("I", at)) for at in range(start, start + 4 * count, 4)]

    def array(self, field: int, dtype: str, width: int) -> np.ndarray:
        """The values of a vector whose elements take ``width`` bytes."""
        start, count = self.vector(field)
        return np.frombuffer(self.data[start : start + width * count], dtype)

    def _read(self, kind: str, at: int) -> int:
        found: int = struct.unpack_from(f"<{kind}", self.data, at)[0]
        return found


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """The constant float32 tensors of the first graph, by name.

    Args:
        path: a file whose bytes are known: nothing is checked here.
    """
    data = path.read_bytes()
    model = _Table(data, struct.unpack_from("<I", data)[0])
    buffers = model.tables(_BUFFERS)
    found = {}
    for tensor in model.tables(_GRAPHS)[0].tables(_TENSORS):
        values = buffers[tensor.number(_BUFFER, "I")].array(_DATA, "<f4", 1)  # bytes, whatever they hold
        if tensor.number(_TYPE, "b") == _FLOAT32 and len(values):
            start, length = tensor.vector(_NAME)
            found[data[start : start + length].decode()] = values.reshape(tensor.array(_SHAPE, "<i4", 4))
    return found
