"""Convolutional networks of timm on the Hugging Face hub, as KerasHub builds them."""

from __future__ import annotations

from typing import Any

from bench.backbones.families.hub_keras import KerasHubModel

ARCHITECTURES = ("resnet", "densenet", "efficientnet", "vgg")
"""What the architectures begin with that can be built. MobileNets of KerasHub have layers of its own."""


class HubTimm(KerasHubModel):
    """A network of timm."""

    def preprocessing(self) -> tuple[Any, Any]:
        with self.reading(ARCHITECTURES) as found:
            means, deviations = (found["pretrained_cfg"][key] for key in ("mean", "std"))
        scale = [1 / (255 * deviation) for deviation in deviations]
        return scale, [-mean / deviation for mean, deviation in zip(means, deviations, strict=True)]

    def check_kind(self) -> None:
        with self.reading(ARCHITECTURES) as found:
            name = str(found["architecture"])
            if not name.startswith(ARCHITECTURES):
                instead = "; Keras has MobileNetV3Small and MobileNetV3Large" if "mobilenetv3" in name else ""
                raise ValueError(f"timm's {name}, which is not built here{instead}")
