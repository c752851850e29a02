"""The tokenizer that belongs to a backbone."""

from __future__ import annotations

from typing import Any

from bench.backbones.plugin import load_backbone
from bench.backbones.registry import BACKBONES
from bench.backbones.spec import BackboneSpec


def tokenizer_of(spec: BackboneSpec) -> Any:
    """What divides examples into tokens for a backbone, see ``BackbonePlugin.tokenizer``; None if nothing does."""
    if spec.name in BACKBONES:
        return None
    found = load_backbone(spec.name)
    return None if found is None else found.tokenizer(**spec.values)
