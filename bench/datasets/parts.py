"""Words for the parts of a dataset, as people write them: folder names and entries of a split column."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from itertools import combinations
from typing import Literal

PartName = Literal["train", "validation", "test"]

WORDS: dict[PartName, frozenset[str]] = {
    "train": frozenset(("train", "training", "trn", "trainval")),
    "validation": frozenset(("validation", "validate", "val", "valid", "dev", "devel")),
    # Of benchmarks with an "evaluation" part (DCASE, Food-11) it is the one that is scored on at the end.
    "test": frozenset(("test", "testing", "tst", "holdout", "heldout", "eval", "evaluation")),
}
"""The words that say which part something is of. "development" is missing: it is training data in one benchmark and
validation data in another."""

KNOWN = "train, validation (val, valid, dev) or test (testing, eval, holdout)"
"""The words for messages."""

_EVALUATION = frozenset(("eval", "evaluation"))

_ALONE: dict[str, PartName] = {"tr": "train", "te": "test"}
"""Too short to be looked for within a name."""

_FILLERS = frozenset(
    """
    set sets data dataset image images img imgs photo photos picture pictures part split folder dir files jpg png
    """.split()  # noqa: SIM905
)
"""Words beside which the word of a part is still all that a name says."""

_UNLABELLED = frozenset(("unlabeled", "unlabelled", "unlabel", "unsup", "unsupervised"))
_CONTAINERS = frozenset(
    """
    image images img imgs jpegimages mask masks label labels annotation annotations data jpg jpeg png
    """.split()  # noqa: SIM905
)
_NUMBERED = frozenset(("image", "images", "img", "imgs", "data", "batch", "chunk", "shard"))

_GLUED = re.compile(
    r"(train|training|test|testing|validation|valid|val|dev|eval)(set|data|images|imgs|img|dataset)"
)


def words_of(name: str) -> list[str]:
    """The words of a name in lower case, divided at capitals, digits and punctuation: ``TestData_2`` has two."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name))
    words = [
        re.sub(rf"^{_GLUED.pattern}$", r"\1 \2", word) for word in re.findall(r"[^\W\d_]+", text.lower())
    ]
    joined = re.sub(r"\b(hold|held) out\b", r"\1out", " ".join(words))
    return joined.replace("train val", "trainval").split()


def part_of(name: str) -> PartName | None:
    """The part that a name speaks of: ``Training``, ``seg_train``, ``xray-val``, ``Test Set``, ``1_test``.

    Returns:
        None if it speaks of none, or of several.
    """
    words = words_of(name)
    if len(words) == 1 and words[0] in _ALONE:
        return _ALONE[words[0]]
    found: list[PartName] = [part for part, known in WORDS.items() if known & set(words)]
    return found[0] if len(found) == 1 else None


def parts_of(names: Collection[str]) -> dict[str, PartName]:
    """The parts that names speak of, without those that speak of none.

    Beside a test part, and where nothing else is for validation, "eval" means the validation part.
    """
    found = {name: part for name in names if (part := part_of(name))}
    evaluation = [name for name in found if _EVALUATION & {*words_of(name)}]
    others = {part for name, part in found.items() if name not in evaluation}
    if "test" in others and "validation" not in others:
        found |= dict.fromkeys(evaluation, "validation")
    return found


def is_plain(name: str) -> bool:
    """Whether a name says which part it is and nothing else: ``Test Set``, unlike ``test_tube``."""
    return part_of(name) is not None and len(set(words_of(name)) - _FILLERS) == 1


def are_unlike(names: Collection[str]) -> bool:
    """Whether names speak of parts of different things, and so of none: ``test_tube`` and ``train_station``."""
    words = frozenset().union(*WORDS.values())
    things = [{*words_of(name)} - words - _FILLERS for name in names]
    return any(a and b and not a & b for a, b in combinations(things, 2)) and not any(map(is_plain, names))


def is_fold(name: str) -> bool:
    """Whether a name is a fold's: ``fold3``, ``Fold 3``, ``split_1``, ``cv-2``."""
    return re.fullmatch(r"(k?fold|split|cv)[\W_]*\d+|\d+[\W_]*fold", name.strip().lower()) is not None


def is_unlabelled(name: str) -> bool:
    """Whether a name says that its examples have no labels."""
    return bool(_UNLABELLED & set(words_of(name)))


def is_container(name: str) -> bool:
    """Whether a name says what kind of file lies there, and not what is to be seen: ``images``, ``masks``."""
    words = words_of(name)
    return bool(words) and set(words) <= _CONTAINERS


def are_numbered_containers(names: list[str]) -> bool:
    """Whether names are those of the pieces of one archive: ``images_001``, ``images_002``."""
    kinds = {tuple(words_of(name)) for name in names}
    return len(names) > 1 and len(kinds) == 1 and bool(_NUMBERED & set(*kinds))
