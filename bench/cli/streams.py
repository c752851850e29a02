"""Standard output and error as they are found: closed, a pipe whose reader leaves, of a narrow encoding."""

from __future__ import annotations

import io
import os
import sys


class Patient(io.TextIOWrapper):
    """A stream that goes on in silence once its reader has left (``| head``): a run is not over with that."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._silence(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._silence(error)

    def _silence(self, error: OSError) -> None:
        """What cannot be written is not tried again as Python ends, where it would be a traceback."""
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self.fileno())
        os.close(nothing)
        if not isinstance(error, BrokenPipeError):
            raise error


def open_streams() -> None:
    """Makes standard input, output and error streams that can be used, whatever they were."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed: the next file that is opened, a record, would be what others print to
            os.open(os.devnull, os.O_RDWR)
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None or stream is getattr(sys, f"__{name}__"):
            encoding = getattr(stream, "encoding", None) or "utf-8"
            # Names of files may hold bytes that the encoding lacks; they are shown escaped.
            buffer = os.fdopen(number, "wb", closefd=False)
            fresh = Patient(buffer, encoding=encoding, errors="backslashreplace", line_buffering=True)
            setattr(sys, name, fresh)
        else:  # a test's, a notebook's
            stream.reconfigure(errors="backslashreplace")
