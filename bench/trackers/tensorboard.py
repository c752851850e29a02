"""TensorBoard (https://www.tensorflow.org/tensorboard): event files in the run directory, one folder a cell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.trackers.base import Entry, Tracker

FOLDER = "tensorboard"
"""Of a run directory."""


class TensorBoard(Tracker):
    """Curves as scalars, what came out and what was run as hyperparameters of the tab HParams.

    Only what writes event files is imported, and no TensorFlow.
    """

    name = "tensorboard"
    package = "tensorboard"

    @property
    def where(self) -> str:
        return f"tensorboard --logdir {self.place.directory / FOLDER}"

    def log(self, entry: Entry) -> bool:
        from tensorboard.plugins.hparams import summary_v2

        folder = self.folder(FOLDER) / f"{_plain(entry.name)} {entry.id[:6]}"
        # A cell that has failed may be run again; then it is another file.
        path = folder / f"events.out.tfevents.{int(entry.ended)}.{entry.id}"
        if path.exists():
            return False
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"events.out.tfevents.*.{entry.id}"):
            old.unlink()
        began = entry.ended - entry.took
        events = [(0, entry.ended, summary_v2.hparams_pb(dict(entry.parameters), entry.id, began))]
        for name, points in entry.curves.items():
            events += [(point.step, point.seconds, _scalar(name, point.value)) for point in points]
        events += [(0, entry.ended, _scalar(name, value)) for name, value in entry.metrics.items()]
        status = "STATUS_FAILURE" if entry.error else "STATUS_SUCCESS"
        events.append((0, entry.ended, _ended(entry.ended, status)))
        if entry.error:
            events.append((0, entry.ended, _text("error", entry.error)))
        _write(path, events)
        return True

    def finish(self, answer: str, files: Sequence[Path]) -> None:
        folder = self.folder(FOLDER)
        folder.mkdir(exist_ok=True)
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        _write(folder / "events.out.tfevents.0.answer", [(0, 0.0, _text("answer", answer))])


def _plain(name: str) -> str:
    """A name that a folder may have."""
    return re.sub(r"[^\w.,:%=()+-]+", "_", name)[:100]


def _scalar(name: str, value: float) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary(value=[Summary.Value(tag=name, simple_value=value)])


def _text(name: str, text: str) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING
    from tensorboard.plugins.text import metadata

    tensor = TensorProto(
        dtype=DT_STRING,
        string_val=[text.encode()],
        tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
    )
    about = metadata.create_summary_metadata(display_name=name, description="")
    return Summary(value=[Summary.Value(tag=f"{name}/text_summary", metadata=about, tensor=tensor)])


def _ended(when: float, status: str) -> Any:
    """What the tab HParams knows of the end of a trial."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    info = plugin_data_pb2.SessionEndInfo(status=api_pb2.Status.Value(status), end_time_secs=when)
    about = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=info))
    tag = metadata.SESSION_END_INFO_TAG
    return Summary(value=[Summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)])


def _write(path: Path, events: Sequence[tuple[int, float, Any]]) -> None:
    """Writes an event file whole, or not at all."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    temporary = path.with_name(f".{path.name}")
    with temporary.open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=events[0][1], file_version="brain.Event:2").SerializeToString())
        for step, when, summary in events:
            writer.write(Event(step=step, wall_time=when, summary=summary).SerializeToString())
    temporary.replace(path)
