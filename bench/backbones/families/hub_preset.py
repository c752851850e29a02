"""Presets of KerasHub: ``preset:NAME``, ``preset:FOLDER`` as ``save_to_preset`` writes it, or on the hub ``hf:``.

Imports neither Keras nor KerasHub: a child process is asked for the names.
"""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bench.backbones.families.hub_folder import CONFIG, OF_KERAS_HUB
from bench.backbones.families.hub_keras import INSTALL, KerasHubModel
from bench.errors import RequestError, did_you_mean
from bench.system import sealed
from bench.system.files import cache_dir
from bench.system.names import PRESET, at_home

WEIGHTS, CONVERTER = OF_KERAS_HUB
NETWORKS = tuple(
    f"{name}Backbone" for name in ("ResNet", "DenseNet", "EfficientNet", "VGG", "CSPNet", "Xception")
)
"""KerasHub's classes that are made of Keras's own layers alone."""
NAMES = (
    "import json, sys, keras_hub.models as models; networks = [getattr(models, name) for name in sys.argv[1:]]; "
    "print(json.dumps({name: preset['kaggle_handle'] for one in networks for name, preset in one.presets.items()}))"
)
"""What the child process is asked."""


class HubPreset(KerasHubModel):
    """A network that KerasHub has saved, with the preprocessing that belongs to it."""

    described_by = (CONFIG, CONVERTER)

    def check_kind(self) -> None:
        with self.reading(NETWORKS) as found:
            name = str(found["registered_name"]).removeprefix("keras_hub>")
            if name not in NETWORKS:
                encoder = (
                    "; for texts give hf:ORGANISATION/NAME"
                    if (self.folder / "tokenizer.json").exists()
                    else ""
                )
                raise ValueError(f"KerasHub's {name}, which is not built here{encoder}")
        if not (self.folder / CONVERTER).is_file():
            converter = f"keras_hub.layers.ImageConverter(scale=...).save_to_preset({str(self.folder)!r})"
            remedy = f"Save it there: {converter}"
            raise self.error(f"a folder with {CONVERTER}, the preprocessing of its pixels", remedy)
        self.preprocessing()

    def weights(self, **options: Any) -> Path:
        self._check()
        return self.file(WEIGHTS)

    def preprocessing(self) -> tuple[Any, Any]:
        content = self.json(CONVERTER)
        try:
            scale, offset = _preprocessing(content["config"])
            for value in (scale, offset):
                if np.shape(value) not in ((), (3,)) or not np.isfinite(value).all():
                    raise ValueError(f"{value} is no number, and no three")
        except (KeyError, AttributeError, TypeError, ValueError, ZeroDivisionError) as error:
            remedy = f"{self.folder / CONVERTER} cannot be used: {error}."
            raise self.error(f"a folder with a sound {CONVERTER}", remedy) from None
        return scale, offset


def _preprocessing(found: dict[str, Any]) -> tuple[Any, Any]:
    """The factor of pixels and what is added, as the settings of an image converter have them."""
    scale, offset = (found.get(key) for key in ("scale", "offset"))
    scale, offset = 1.0 if scale is None else scale, 0.0 if offset is None else offset
    if "mean" in found and "variance" in found:  # as the first presets have it
        deviations = [math.sqrt(variance) for variance in found["variance"]]
        offset = [-mean / deviation for mean, deviation in zip(found["mean"], deviations, strict=True)]
        scale = [scale / deviation for deviation in deviations]
    return scale, offset


def hub_preset(name: str) -> HubPreset:
    """The network ``preset:NAME`` or ``preset:FOLDER``.

    Raises:
        RequestError: it is not there and cannot be had, or is of a kind that is not built here.
    """
    where = name.removeprefix(PRESET)
    folder = at_home(where)
    return HubPreset(name, folder if folder.is_dir() else _downloaded(name, where))


@cache
def _downloaded(name: str, preset: str) -> Path:
    """The folder of a preset in Kaggle's cache; it is downloaded if it is not there."""
    for package in ("keras_hub", "kagglehub"):
        if find_spec(package) is None:
            raise RequestError("backbone", name, f"with the package {package.replace('_', '-')}", INSTALL)
    handles = _handles()
    if preset not in handles:
        kinds = ", ".join(network.removesuffix("Backbone") for network in NETWORKS)
        expected = f"a preset of KerasHub ({kinds}), or the folder of one"
        raise RequestError("backbone", name, expected, did_you_mean(preset, handles))
    import kagglehub

    logging.getLogger("kagglehub").setLevel(
        logging.WARNING
    )  # or it says of each file here that it downloads it
    try:
        return Path(kagglehub.model_download(handles[preset].removeprefix("kaggle://")))
    except Exception as error:  # of requests, of its own, or of the disk
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        remedy = (
            f"It is not in Kaggle's cache and could not be downloaded ({reason}). On another machine save the "
            f"backbone and its image converter with save_to_preset(FOLDER), and give {PRESET}FOLDER."
        )
        raise RequestError("backbone", name, "on this machine, or within reach", remedy) from None


def _handles() -> dict[str, str]:
    """Names of the presets that can be built -> Kaggle's names of them."""
    kept = cache_dir() / "weights" / f"presets-{version('keras-hub')}.json"
    known = sealed.read(kept)
    if known is None:
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, "-P", "-c", NAMES, *NETWORKS]
        child = subprocess.run(command, capture_output=True, env=environment, check=False)
        if child.returncode:
            said = child.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise RequestError("backbone", PRESET, "with a KerasHub that can be imported", " ".join(said))
        known = child.stdout.strip().splitlines()[-1]
        sealed.write(kept, known)
    handles: dict[str, str] = json.loads(known)
    return handles
