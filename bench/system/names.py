"""Names and texts that came from a user, as people read them."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePath


def printable(path: str) -> str:
    """A file name as valid Unicode: bytes that are not UTF-8 become ``\\xff``."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def path_text(path: str | PurePath) -> str:
    """A path as a plan writes it; ``Path("digits")`` is a folder and not the name of a dataset: ``./digits``."""
    if isinstance(path, PurePath) and len(path.parts) == 1 and not path.is_absolute():
        return f"./{path}"
    return str(path)


def at_home(path: str) -> Path:
    """A path as typed, with ``~`` replaced; that of an unknown user stays as it is, and is not there."""
    return Path(os.path.expanduser(path))


def shown(text: str) -> str:
    """Text that came from a user, without control characters that a terminal would act on."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


OPTION = re.compile(r",(?=\s*\w+\s*=)")
"""A comma separates options only where another ``key=`` follows: paths of weights may contain commas."""


HUB = "hf:"
"""What the name of a backbone begins with that lies on the Hugging Face hub, or in a folder as the hub has them."""


PRESET = "preset:"
"""What the name of a backbone begins with that is a preset of KerasHub, or the folder of one."""


KERAS = "keras:"
"""What the name of a backbone begins with that is a file of the user's, as plans store it."""
KERAS_SUFFIX = ".keras"


def divided(backbone: str) -> tuple[str, str]:
    """A backbone as users write it: its name, and its options as they stand there."""
    name, *options = OPTION.split(backbone)
    is_file = name.endswith(KERAS_SUFFIX) and not names_weights(name)  # and not MobileNet:weights=net.keras
    if backbone.startswith((HUB, PRESET, KERAS)) or is_file:
        return name, ",".join(options)
    name, _, rest = backbone.partition(":")
    return name, rest


def names_weights(text: str) -> bool:
    """Whether a backbone as users write it says which weights it is to have."""
    return re.search(r"[:,]\s*weights\s*=", text) is not None


def with_weights(backbone: str, weights: str) -> str:
    """The text of a backbone that names no weights, with these."""
    name, options = divided(backbone)
    follows = options or ":" in backbone or name.endswith(KERAS_SUFFIX)
    return f"{backbone}{',' if follows else ':'}weights={weights}"


def titled(architecture: str, weights: str) -> str:
    """A backbone as people read it: with its weights where they are not its usual ones, and without paths."""
    if architecture.startswith((HUB, PRESET)):
        architecture = Path(divided(architecture)[0].partition(":")[2]).name
    if architecture.startswith(KERAS):
        architecture = Path(divided(architecture)[0]).stem
    architecture = _heard(architecture)
    if weights in ("", "imagenet", "pretrained"):
        return architecture
    if weights.startswith(PREFIX):
        return f"{architecture} (source: {Path(weights.removeprefix(PREFIX)).name})"
    return f"{architecture} (weights: {Path(weights).name})"


def short_backbone(text: str) -> str:
    """The text of a specification as people read it, see ``titled``."""
    if text.startswith(KERAS):
        found = re.search(r",weights=(.*)$", text)
        return titled(text, found[1] if found else "")
    before, key, weights = text.partition("weights=")
    return titled(before.rstrip(",:"), weights) if key else _heard(text)


def _heard(architecture: str) -> str:
    """With the pictures that it is given of clips in a word."""
    return re.sub(r"[:,]input=log-mel$", " (log-mel)", architecture)


PREFIX = "source:"
"""What the weights of a backbone begin with that are a source's: ``source:DIR``."""


def of_others(weights: str) -> bool:
    """Whether others have trained these weights, on inputs of a size of their own: they are neither random, nor a
    source's, nor missing."""
    return weights not in ("", "none") and not weights.startswith(PREFIX)


LEARNED_NOTHING = "The source {} has learned nothing beyond noise: see its card."
"""Said wherever it is used."""
