"""Convolutional networks as KerasHub builds them (extra ``[hub]``): those that are made of Keras's own layers.

What is saved of them can be read anywhere, without KerasHub.
"""

from __future__ import annotations

import shutil
from abc import abstractmethod
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.backbones.families.hub_folder import HubModel
from bench.backbones.families.pieces import Shape

INSTALL = "Install it with: pip install 'transfer-bench[hub]'"


class KerasHubModel(HubModel):
    """A convolutional network in a folder that KerasHub reads."""

    modality = "image"

    @abstractmethod
    def check_kind(self) -> None:
        """Refuses what cannot be built here."""

    @abstractmethod
    def preprocessing(self) -> tuple[Any, Any]:
        """The factor of pixels from 0 to 255, and what is added; of all channels, or of each."""

    def weights_needed(self) -> Mapping[str, Shape]:
        """Nothing: KerasHub knows."""
        return {}

    def weights(self, **options: Any) -> Path:
        self._check()
        return super().weights(**options)

    def build(self, image: Any, **options: Any) -> Any:
        import keras

        scale, offset = self.preprocessing()
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
        for name in self.described_by:
            shutil.copyfile(self.file(name), path.with_name(name))
        for layer in self._built(path.parent, load_weights=True).layers:
            if layer.weights:
                model.get_layer(layer.name).set_weights(layer.get_weights())

    def _check(self) -> None:
        self.check_kind()
        if find_spec("keras_hub") is None:
            raise self.error("with the package keras-hub", INSTALL)

    def _built(self, folder: Path, load_weights: bool) -> Any:
        """KerasHub's network."""
        self._check()
        from keras_hub.models import Backbone

        try:
            return Backbone.from_preset(str(folder), load_weights=load_weights)
        except Exception as error:  # whatever such a folder makes it raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            remedy = f"KerasHub cannot build what {self.folder} describes: {reason}"
            raise self.error("a network that KerasHub can build", remedy) from None
