"""``python -m bench.backbones.fetch SPEC SIZE``: lets Keras find, download or try weights.

For :func:`bench.backbones.weights.resolve_weights`, in a child or a worker: the parent needs no Keras. The
application is built exactly as a user would build it, and Keras's own ``get_file`` is watched: nothing here
knows which file an application uses. The last line of standard output is JSON: ``path`` of the file that
Keras used, or ``error`` with ``file``, ``folder`` and ``origin`` of what it looked for. A file of the user's is
loaded into its network instead: ``error`` says why it does not fit.
"""

from __future__ import annotations

import json
import socket
import sys
import warnings
from typing import TYPE_CHECKING

from bench.backbones.keras_files import watching
from bench.errors import RequestError

if TYPE_CHECKING:
    from bench.backbones.spec import BackboneSpec

# Keras downloads with urllib, which waits for ever for a server that does not answer. Any single wait is
# bounded by this; a download that goes on takes as long as it takes.
STALLED_SECONDS = 20


def fetch(text: str, size: int, download: bool = True) -> dict[str, str]:
    """Builds the network with its weights, for ImageNet's as Keras does, and tells which file Keras used.

    Args:
        text: the backbone; an application of Keras, or one whose weights are a file.
        size: side of the square input, in pixels.
        download: False: a file that is not there stays away, which is an ``error``.
    """
    import keras

    from bench.backbones.spec import parse_backbone

    socket.setdefaulttimeout(STALLED_SECONDS)
    keras.config.set_image_data_format("channels_last")
    spec = parse_backbone(text)
    if spec.weights != "imagenet":
        return _tried(spec, size)
    with watching(download) as seen:
        try:
            # Keras tells of sizes for which it takes the weights of 224 px: as intended, and no news to the user.
            with warnings.catch_warnings(action="ignore"):
                getattr(keras.applications, spec.name)(
                    include_top=False,
                    weights="imagenet",
                    input_shape=(size, size, 3),
                    **dict(spec.options),
                )
        except Exception as error:
            if "file" not in seen:
                raise  # not about the file at all: the parent shows how the traceback ends
            return {**seen, "error": _reason(error, seen)}
    return seen


def _tried(spec: BackboneSpec, size: int) -> dict[str, str]:
    """Builds a backbone whose weights are a file."""
    from bench.backbones.build import build_backbone
    from bench.backbones.weights import resolve_weights

    weights = resolve_weights(spec, size)
    try:
        build_backbone(spec, size, weights)
    except RequestError as error:
        return {"error": error.remedy or str(error)}
    return {"path": str(weights.path)}


def asked(place: object, backbone: str, size: int, download: bool) -> dict[str, str]:
    """The same in a worker, see ``bench.execution.jobs.Fetch``."""
    return fetch(backbone, size, download)


def _reason(error: Exception, seen: dict[str, str]) -> str:
    """Why the file is of no use, in one line, without the address, which the message gives anyway."""
    text = " ".join(str(error).split()).replace(f"URL fetch failure on {seen.get('origin')}:", "")
    return text.removeprefix(" None -- ").strip() or type(error).__name__


if __name__ == "__main__":
    answer = fetch(sys.argv[1], int(sys.argv[2]))
    print("\n" + json.dumps(answer))
