"""Convolutional networks of timm on the Hugging Face hub, as KerasHub builds them (extra ``[hub]``).

Those of its networks that are made of Keras's own layers: what is saved can be read anywhere.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.backbones.families.hub_folder import CONFIG, HubModel
from bench.backbones.families.pieces import Shape

ARCHITECTURES = ("resnet", "densenet", "efficientnet", "vgg")
"""What the architectures begin with that can be built. MobileNets of KerasHub have layers of its own."""
INSTALL = "Install it with: pip install 'transfer-bench[hub]'"


class HubTimm(HubModel):
    """A convolutional network."""

    modality = "image"

    def weights_needed(self) -> Mapping[str, Shape]:
        """Nothing: KerasHub knows."""
        return {}

    def weights(self, **options: Any) -> Path:
        self._check()
        return super().weights(**options)

    def build(self, image: Any, **options: Any) -> Any:
        import keras

        with self.reading(ARCHITECTURES) as found:
            means, deviations = (found["pretrained_cfg"][key] for key in ("mean", "std"))
        scale = [1 / (255 * deviation) for deviation in deviations]
        offset = [-mean / deviation for mean, deviation in zip(means, deviations, strict=True)]
        front = keras.layers.Rescaling(scale, offset, dtype="float32", name="preprocessing")
        theirs = self._built(self.folder, load_weights=False)
        made = []

        def call(layer: Any, *arguments: Any, **options: Any) -> Any:
            made.append(layer(*arguments, **options))
            return made[-1]

        # Its layers lie directly in the graph, where cuts can be found. The model that is given has another input.
        plain = keras.Model(theirs.input, theirs.output)
        keras.models.clone_model(plain, front(image), clone_function=lambda layer: layer, call_function=call)
        return made[-1]

    def load(self, model: Any, path: Path) -> None:
        shutil.copyfile(self.file(CONFIG), path.with_name(CONFIG))
        for layer in self._built(path.parent, load_weights=True).layers:
            if layer.weights:
                model.get_layer(layer.name).set_weights(layer.get_weights())

    def _check(self) -> None:
        """That it can be built here."""
        with self.reading(ARCHITECTURES) as found:
            name = str(found["architecture"])
            if not name.startswith(ARCHITECTURES):
                instead = "; Keras has MobileNetV3Small and MobileNetV3Large" if "mobilenetv3" in name else ""
                raise ValueError(f"timm's {name}, which is not built here{instead}")
        if find_spec("keras_hub") is None:
            raise self.error("with the package keras-hub", INSTALL)

    def _built(self, folder: Path, load_weights: bool) -> Any:
        """KerasHub's network."""
        self._check()
        from keras_hub.models import Backbone

        try:
            return Backbone.from_preset(str(folder), load_weights=load_weights)
        except (ValueError, KeyError) as error:
            reason = str(error).strip().splitlines()[0]
            remedy = f"KerasHub cannot build what {self.folder / CONFIG} describes: {reason}"
            raise self.error("a network that KerasHub can build", remedy) from None
