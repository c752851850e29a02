"""Sources: backbones that ``bench pretrain`` has trained on a dataset of the user's, to transfer from.

A source is a folder: ``backbone.weights.h5``, ``source.json`` (all that is known of it, see ``WeightSource``),
``card.md`` (the same for people) and ``images.npz`` (hashes of the images that it was trained on). It may be moved
and copied: what names it is its folder's name, what identifies it the sha256 of its weights.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.backbones.plugin import modality_of
from bench.errors import RequestError
from bench.modalities.base import Input
from bench.modalities.registry import modality
from bench.system.names import PREFIX, at_home

if TYPE_CHECKING:
    import numpy as np


SCHEMA_VERSION = 1
"""Raised whenever the layout of source.json changes."""

WEIGHTS, CONTENT, CARD, IMAGES = "backbone.weights.h5", "source.json", "card.md", "images.npz"
MAJORITY = "the most frequent class"
PIXELS = "a linear model on small images"
BEFORE = "a linear model on the untrained backbone"
"""What a source is measured against, as a reader is told. Untrained: as it was before."""
BASELINES = "baselines.npz"
"""Only while a source is being made: what the baselines answer to the held-out images."""


@dataclass(frozen=True)
class SourceData:
    """What a source was trained on."""

    name: str
    spec: str
    fingerprint: str
    class_names: tuple[str, ...]
    n: int
    """Labelled images: some of them judged the trials, all of them trained the source."""
    n_test: int
    """Images that were held out."""


@dataclass(frozen=True)
class Baseline:
    """Something that needs no training of the backbone, on the held-out images of a source."""

    name: str
    accuracy: float
    difference: float
    """By which the source is better, with its 95% interval, paired over the held-out images."""
    low: float
    high: float


@dataclass(frozen=True)
class WeightSource:
    """The content of source.json.

    Attributes:
        directory: where it lies; not part of the content.
        backbone: architecture and options without weights (``MobileNet:alpha=0.25``).
        weights_sha256: of backbone.weights.h5.
        image_size: side of the square images that it was trained on, in pixels.
        resizing: how they were brought to it.
        start: weights that the training began with, as a plan names them; ``none``: random ones.
        start_sha256: of their file; empty for random ones.
        data: what it was trained on.
        accuracy: on the held-out images, of the backbone with its head; ``low`` and ``high`` are its 95% interval.
        baselines: what it was measured against there.
        learned: whether it is better beyond noise than the most frequent class and than a linear model on what the
            backbone gave before, and not worse beyond noise than a linear model on small images.
        created: local time.
        record: of the cell that the training was: recipe, curves, costs, versions, hardware (``bench.records``).
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    backbone: str
    weights_sha256: str
    image_size: int
    resizing: str
    start: str
    start_sha256: str
    data: SourceData
    accuracy: float
    low: float
    high: float
    baselines: tuple[Baseline, ...]
    learned: bool
    created: str
    record: dict[str, Any]
    schema_version: int = SCHEMA_VERSION
    directory: Path = Path()

    @property
    def name(self) -> str:
        """Its folder's."""
        return self.directory.name

    @property
    def modality(self) -> str:
        """Of its examples."""
        return modality_of(self.backbone.partition(":")[0])

    @property
    def input(self) -> Input:
        """How the examples that it was trained on became rows."""
        return modality(self.modality).input(vars(self))

    @property
    def weights_path(self) -> Path:
        return self.directory / WEIGHTS

    @property
    def rival(self) -> Baseline:
        """The baseline that decides whether it has learned: small images if these are better than it, else what it
        is the least surely better than; small images, which it need not be better than, only where it is."""
        if self.pixels.high < 0:
            return self.pixels
        compared = (b for b in self.baselines if b is not self.pixels or b.low > 0)
        return min(compared, key=lambda baseline: baseline.low)

    @property
    def pixels(self) -> Baseline:
        """A linear model on small images. Where it is about as good, the dataset asks little of a backbone."""
        return next(b for b in self.baselines if b.name == PIXELS)

    def to_json(self) -> dict[str, Any]:
        content = asdict(self)
        del content["directory"]
        return content

    def summary(self) -> dict[str, Any]:
        """What a report says of it, beside the most accurate of its baselines."""
        strongest = max(self.baselines, key=lambda baseline: baseline.accuracy)
        return {
            "name": self.name,
            "backbone": self.backbone,
            "image_size": self.image_size,
            "start": self.start,
            "dataset": self.data.name,
            "fingerprint": self.data.fingerprint,
            "classes": len(self.data.class_names),
            "n": self.data.n,
            "n_test": self.data.n_test,
            "accuracy": self.accuracy,
            "low": self.low,
            "high": self.high,
            "baseline": strongest.name,
            "baseline_accuracy": strongest.accuracy,
            "learned": self.learned,
        }

    def hashes(self) -> dict[str, np.ndarray]:
        """Of the examples that it was trained on: uint8 (N, 16), see ``Modality.hashes``.

        Returns:
            By the name of the input as which they were read (``64-crop``): its own, and where it began with another
            source, that one's.

        Raises:
            RequestError: the file is missing or damaged.
        """
        import zipfile

        import numpy as np

        path = self.directory / IMAGES
        try:
            with np.load(path, allow_pickle=False) as file:
                found = dict(file)
            if any(hashes.dtype != np.uint8 or hashes.shape[1:] != (16,) for hashes in found.values()):
                raise ValueError("it holds something else")
        except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
            expected = f"a file of image hashes of the source {self.name} ({error})"
            raise RequestError("weights", str(path), expected, "Restore it, or pretrain it again.") from None
        return found


def directory_of(weights: str) -> Path:
    """The folder that ``source:DIR`` speaks of, absolute."""
    return at_home(weights.removeprefix(PREFIX)).resolve()


def read_source(weights: str, received: str | None = None) -> WeightSource:
    """Reads what is known of a source; its weights are only looked for.

    Args:
        weights: ``source:DIR``.
        received: what the user wrote, for messages; default: ``weights``.

    Raises:
        RequestError: of field ``backbone``, if it is not there, damaged, or of a newer version.
    """
    directory = directory_of(weights)

    def refuse(expected: str, remedy: str) -> RequestError:
        return RequestError("backbone", weights if received is None else received, expected, remedy)

    path = directory / CONTENT
    make = "Make one: python -m bench pretrain DATASET --backbone B --out DIR"
    try:
        text = path.read_bytes()
    except OSError as error:
        reason = f"{path} cannot be read ({(error.strerror or 'error').lower()})."
        raise refuse("the folder of a source", f"{reason} {make}") from None
    try:
        version = json.loads(text)["schema_version"]
        if isinstance(version, int) and version > SCHEMA_VERSION:
            expected = f"a source of schema version {SCHEMA_VERSION} or older"
            raise refuse(expected, f"{path} is of {version}. Update transfer-bench, or pretrain it again.")
        content: WeightSource = _validator().validate_json(text, strict=True)
    except (KeyError, TypeError, ValueError) as error:
        reason = ", ".join((str(error) or repr(error)).splitlines()[1:3]) or str(error)
        damage = f"{path} is damaged ({reason.strip()})."
        raise refuse("a sound source", f"{damage} Restore it, or pretrain it again.") from None
    source = WeightSource(**{**content.__dict__, "directory": directory})
    if not source.weights_path.is_file():
        lacks = f"There is no file {source.weights_path}."
        raise refuse("a whole source", f"{lacks} Restore it, or pretrain it again.")
    return source


@cache
def _validator() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(WeightSource)
