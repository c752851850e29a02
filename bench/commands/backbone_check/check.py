"""``bench check-backbone``: tells in words what holds of a backbone, and what does not.

It is built and trained in a child process, as a worker would.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.backbones.families.keras_config import read_config
from bench.backbones.given import own_backbone
from bench.backbones.spec import BackboneSpec, check_size, parse_backbone
from bench.backbones.weight_files import check_fit
from bench.backbones.weights import resolve_weights
from bench.commands.child import run_child
from bench.errors import RequestError
from bench.modalities.registry import DEFAULT
from bench.system import backend
from bench.system.names import KERAS, short_backbone

SECONDS = 900.0
"""After which a backbone counts as hanging."""
SIZE = 96
"""Side of the images, in pixels, where none is given: a run's default."""
CHILD = "bench.commands.backbone_check.child"


@dataclass(frozen=True, repr=False)
class BackboneCheck:
    """The findings about a backbone.

    Attributes:
        backbone: its name in a plan.
        holds: what was tried and found to hold, sentences.
        problems: why a run could not use it, or could not trust its numbers, sentences.
    """

    backbone: str
    holds: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether there are no problems."""
        return not self.problems

    def __str__(self) -> str:
        """Problems first, then what holds."""
        number = len(self.problems)
        what = "it can be a backbone" if self.ok else f"{number} problem{'s' if number > 1 else ''}"
        lines = [f"{short_backbone(self.backbone)}: {what}", *(f"- {problem}" for problem in self.problems)]
        if self.holds:
            lines += ["", "This holds:", *(f"- {text}" for text in self.holds)]
        return "\n".join(lines)

    __repr__ = __str__


def check_backbone(backbone: Any, image_size: int | None = None, seconds: float = SECONDS) -> BackboneCheck:
    """Checks a backbone of images against what every backbone promises.

    It is built with its weights, cut, trained for a few steps on images of digits, saved and loaded. That takes
    half a minute for a small network.

    Args:
        backbone: a name as in a plan, the path of a ``.keras`` file, or a Keras model. See
            ``bench.own_backbone`` for its preprocessing.
        image_size: side of the images, in pixels. Default: 96, or what the model was saved for.
        seconds: after which it counts as hanging.

    Raises:
        RequestError: the Keras backend cannot be used, or the backbone is one of texts.
    """
    backend.chosen()
    name = backbone if isinstance(backbone, str) else getattr(backbone, "name", str(backbone))
    try:
        spec = parse_backbone(backbone if isinstance(backbone, str) else own_backbone(backbone))
        size = image_size or _usual_size(spec)
        check_size(spec, size)
        weights = resolve_weights(spec, size)
        check_fit(spec, size, weights)
    except RequestError as error:
        return BackboneCheck(name, (), (str(error),))
    if spec.modality != DEFAULT:
        raise RequestError(
            "backbone", spec.text, "a backbone of images", "Those of texts are not checked yet."
        )
    with tempfile.TemporaryDirectory(prefix="transfer-bench-") as folder:
        result = Path(folder) / "result.json"
        said, died = run_child(CHILD, [spec.text, str(size), str(result)], seconds, "32 images")
        content = json.loads(result.read_bytes()) if result.exists() else {"holds": [], "problems": []}
    problems = [*content["problems"], *([f"{died} {said}".strip()] if died else [])]
    return BackboneCheck(spec.text, tuple(content["holds"]), tuple(problems))


def _usual_size(spec: BackboneSpec) -> int:
    """The size that a network of the user's was saved for; of others, a run's default."""
    if spec.name.startswith(KERAS) and (saved := read_config(Path(spec.name[len(KERAS) :]), spec.text).size):
        return saved
    return max(SIZE, spec.info.minimum_size)
