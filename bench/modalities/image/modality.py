"""Images, as the harness sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from bench.modalities.base import Again, Limit, Modality, Tensor
from bench.modalities.evidence import Evidence
from bench.modalities.findings import Finding
from bench.modalities.image import audit, decode, kinds
from bench.modalities.image.augment import Augmentation
from bench.modalities.image.facts import TOO_LARGE, Album, Facts
from bench.modalities.image.input import ImageInput
from bench.modalities.image.levels import Scale, scales
from bench.modalities.image.looks import identical, square_hashes
from bench.modalities.image.pictures import Picture, full_digests, keeps_label_mirrored
from bench.modalities.image.preview import thumbnail
from bench.modalities.nouns import Noun


class Image(Modality):
    name = "image"
    noun = Noun("image", "images", "pixels", "picture")
    default_backbone = "EfficientNetLite0"
    version = decode.VERSION
    keys = ("image_size", "resizing", "augmentation", "flip")
    size_key = "image_size"
    features = ("batch", "h", "w", "c")
    limits = (
        Limit(
            "too_many_pixels",
            TOO_LARGE,
            "too large, left out; TRANSFER_BENCH_MAX_PIXELS raises the limit.",
        ),
    )

    def input(self, settings: Mapping[str, Any]) -> ImageInput:
        return ImageInput(settings["image_size"], settings["resizing"])

    def sized(self, settings: Mapping[str, Any]) -> str:
        return f"{settings['image_size']} px"

    def takes(self, least: int) -> str:
        return f"it takes images of {least} px or more"

    def small_maps(self, backbones: Sequence[str], size: int) -> list[str]:
        if not backbones:
            return []
        # Networks halve an image five times: with 64 px all of them have 2 x 2, but for the Inceptions, with 128.
        # On emoji and blood cells, 1 x 1 costs a linear probe 15 to 20 points on EfficientNetLite0, and half of its
        # accuracy on MobileNet:alpha=0.25.
        enough = 64 * (size // 64 + 1)
        return [
            f"{', '.join(backbones)}: at {size} px, the last feature map is only 1 x 1. That can halve the "
            f"accuracy of pretrained features. Try --image-size {enough}. Often {enough * 3 // 2} is better still."
        ]

    def input_named(self, name: str) -> ImageInput:
        size, _, resizing = name.partition("-")
        return ImageInput(int(size), resizing)

    def mismatch(self, then: ImageInput, now: ImageInput) -> str:
        was, now_is = (f"{input.image_size} pixels ({input.resizing})" for input in (then, now))
        return f"images of {was}; here they have {now_is.replace(' pixels', '')}"

    def settings(self, plan: Mapping[str, Any], traits: Mapping[str, Any]) -> dict[str, Any]:
        kept = super().settings(plan, traits)
        return kept | {"flip": traits["flip"]} if kept["flip"] == "auto" else kept

    def traits(self, name: str) -> dict[str, Any]:
        """``flip``: whether a mirrored image keeps its label."""
        return {"flip": keeps_label_mirrored(name)}

    def augmentation(self, settings: Mapping[str, Any]) -> Augmentation:
        return Augmentation(settings["augmentation"], settings["flip"])

    def described(self, settings: Mapping[str, Any]) -> str:
        mirrored = "with" if settings["flip"] else "without"
        return (
            f"images of {settings['image_size']} pixels ({settings['resizing']}), augmentation "
            f"{settings['augmentation']} {mirrored} mirroring"
        )

    def stamp(self) -> list[Any]:
        return [decode.max_pixels(), *(["heif"] if kinds.HEIF else [])]

    def row(self, input: ImageInput) -> Tensor:
        return Tensor((input.image_size, input.image_size, 3), "uint8")

    def read(self, item: Picture, input: ImageInput) -> tuple[np.ndarray, Facts]:
        return item.decode(input.image_size, input.resizing)

    def second_look(self, facts: Sequence[Facts], in_test: np.ndarray | None) -> dict[int, Scale]:
        """What is black and white in images that were read as if it were something else."""
        return scales([f.values for f in facts], in_test)

    def read_again(self, item: Picture, input: ImageInput, look: Scale) -> tuple[np.ndarray, Facts]:
        return item.decode(input.image_size, input.resizing, look)

    def reading(self) -> AbstractContextManager[None]:
        return decode.quiet()

    def album(self, count: int) -> Album:
        return Album(count)

    def identical(self, facts: list[Facts], sha256: Sequence[str], again: Again) -> np.ndarray:
        return identical(facts, sha256, lambda which: full_digests(again(which)))

    def lookalikes(self, evidence: Evidence) -> list[Finding]:
        return audit.near_duplicates(evidence)

    def findings(self, evidence: Evidence) -> list[Finding]:
        return [*audit.pixels(evidence), *audit.files(evidence)]

    def summary(self, facts: Sequence[Facts]) -> dict[str, Any]:
        return audit.summary(facts)

    def described_summary(self, summary: Mapping[str, Any]) -> str:
        return audit.described(summary)

    def preview(self, row: np.ndarray) -> str:
        return thumbnail(row)

    def hashes(self, rows: np.ndarray) -> np.ndarray:
        return square_hashes(rows)

    def inputs(self, size: int) -> dict[str, Tensor]:
        """``image``: RGB, 0..255."""
        return {"image": Tensor((size, size, 3), "float32")}

    def reader(self, tokenizer: Any, size: int) -> PixelReader:
        return PixelReader()


class PixelReader:
    """Gives networks the pixels as they are."""

    def tensors(self, rows: np.ndarray) -> list[np.ndarray]:
        """float32 (N, S, S, 3)."""
        return [rows.astype(np.float32)]

    def lengths(self, rows: np.ndarray) -> None:
        return None


KIND = Image()
