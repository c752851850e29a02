"""What a modality is: all that knows what an example is, behind one object."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from bench.modalities.findings import Finding
from bench.modalities.nouns import Noun

if TYPE_CHECKING:
    import numpy as np

    from bench.modalities.evidence import Evidence


class Unreadable(Exception):
    """An item that cannot be used; its text is the reason, a few words."""


class Unfit(Exception):
    """Examples that can be read one by one, and not together.

    Args:
        expected: what would have been right, as the end of the sentence "expected ...".
        remedy: what is wrong and what to do about it, sentences.
    """

    def __init__(self, expected: str, remedy: str) -> None:
        super().__init__(f"{expected}. {remedy}")
        self.expected, self.remedy = expected, remedy


class Item(Protocol):
    """One example that is not read yet: a file, say, or a row of an array."""

    def sha256(self) -> str:
        """Hash of the content as it stands."""


@dataclass(frozen=True)
class Input:
    """How an example becomes a row. Each modality has its own; the fields tell rows apart."""

    modality: ClassVar[str]

    @property
    def key(self) -> list[Any]:
        """JSON-able: the fields, in their order."""
        return list(astuple(self))

    @property
    def name(self) -> str:
        """The same as a text: ``64-crop``."""
        return "-".join(map(str, self.key))

    @property
    def size(self) -> int:
        """How large an input is, as its modality counts; all that a network's graph depends on."""
        raise NotImplementedError


class Tensor(NamedTuple):
    """An array without its values."""

    shape: tuple[int, ...]
    """Of one example."""
    dtype: str
    is_ragged: bool = False
    """Whether its first axis is as long as the longest example of a batch, and what ``shape`` says at most."""


class Limit(NamedTuple):
    """Why some items are left out although they could be read."""

    kind: str
    """Of the finding."""
    words: str
    """Stand in the reason."""
    text: str
    """Follows ``2 of 100 images`` in the finding."""


class Reader(Protocol):
    """What makes a network's input tensors of rows."""

    def tensors(self, rows: np.ndarray) -> list[np.ndarray]:
        """The input tensors of a network for rows, in the order of ``Modality.inputs``."""

    def lengths(self, rows: np.ndarray) -> np.ndarray | None:
        """How long the ragged axis of each row is by itself, int64 (N,); None if no input is ragged."""


Again = Callable[[set[int]], Iterator[tuple[int, Item]]]
"""Gives some items once more, with their numbers among those that could be read."""


class Modality(ABC):
    """One kind of example. Importing it loads no Keras."""

    name: ClassVar[str]
    noun: ClassVar[Noun]
    version: ClassVar[int]
    """Part of the cache key: raise it whenever the same item would become another row."""
    keys: ClassVar[tuple[str, ...]]
    """The keys of a plan that are its own."""
    size_key: ClassVar[str]
    """That of them which says how large an input is."""
    features: ClassVar[tuple[str, ...]]
    """The axes of what its backbones give, the channels last."""
    default_backbone: ClassVar[str] = ""
    """What a plan takes that names none."""
    is_read: ClassVar[bool] = False
    """Whether a preview is a line of the example's own text. It holds anything: whoever shows it escapes it."""
    floors: ClassVar[tuple[str, ...]] = ()
    """Strategies without a network that a plan without ``strategies`` has beside its protocol's own."""
    limits: ClassVar[tuple[Limit, ...]] = ()

    # ------------------------------------------------------------------------------------------- settings

    @abstractmethod
    def input(self, settings: Mapping[str, Any]) -> Input:
        """Picks from a plan's or a cell's settings how examples become rows.

        Raises:
            RequestError: they cannot in this way.
        """

    def sized(self, settings: Mapping[str, Any]) -> str:
        """How large inputs are, in a few words."""
        return f"size {self.input(settings).size}"

    def given(self, size: int) -> float:
        """An ``Input.size`` as the plan's ``size_key`` says it."""
        return size

    def takes(self, least: int) -> str:
        """Why a network whose inputs are at least this large cannot be used, as the end of a sentence."""
        return f"its inputs are {least} or larger"

    def small_maps(self, backbones: Sequence[str], size: int) -> list[str]:
        """Warns of pretrained networks whose last feature map is a single place, and says what to do.

        Args:
            backbones: as people read them.
            size: of their inputs, see ``Input.size``.

        Returns:
            One warning, or none if there are no such networks or they lose nothing by it.
        """
        return []

    @abstractmethod
    def input_named(self, name: str) -> Input:
        """The input whose ``name`` is this text.

        Raises:
            ValueError: there is none.
        """

    def mismatch(self, then: Any, now: Any) -> str:
        """How examples were read for weights to begin with, and how they are here, as the end of a sentence."""
        return f"{self.noun.many} as {then.name}; here they are {now.name}"

    def settings(self, plan: Mapping[str, Any], traits: Mapping[str, Any]) -> dict[str, Any]:
        """What ``Cell.examples`` keeps of the plan's ``keys``, for a dataset of these ``traits``."""
        return {key: plan[key] for key in self.keys}

    def traits(self, name: str) -> dict[str, Any]:
        """What the name of a dataset says of its examples; JSON-able."""
        return {}

    @abstractmethod
    def augmentation(self, settings: Mapping[str, Any]) -> Any:
        """The policy of augmentation: called with rows and a random generator; false if it changes nothing.

        Args:
            settings: ``Cell.examples``.
        """

    @abstractmethod
    def described(self, settings: Mapping[str, Any]) -> str:
        """How examples became inputs and were augmented, as part of a sentence.

        Args:
            settings: ``Cell.examples``.
        """

    # -------------------------------------------------------------------------------------------- reading

    def stamp(self) -> list[Any]:
        """What of the environment decides which items are read, JSON-able."""
        return []

    @abstractmethod
    def row(self, input: Any) -> Tensor:
        """What is stored of each example."""

    @abstractmethod
    def read(self, item: Any, input: Any) -> tuple[np.ndarray, Any]:
        """Reads one item.

        Returns:
            Its row, and what else is noted of it for ``identical``, ``findings`` and ``summary``.

        Raises:
            Unreadable: with the reason.
        """

    def second_look(self, facts: Sequence[Any], in_test: np.ndarray | None) -> dict[int, Any]:
        """Which examples have to be read again now that all are known, by number, each with what it takes.

        Args:
            facts: of each example.
            in_test: which are test examples, (N,); None if no test part is given.

        Raises:
            Unfit: they cannot be read in one way.
        """
        return {}

    def read_again(self, item: Any, input: Any, look: Any) -> tuple[np.ndarray, Any]:
        """``read`` with what ``second_look`` has said of the item."""
        raise NotImplementedError

    def reading(self) -> AbstractContextManager[None]:
        """What is set up once around the reading of many items."""
        return nullcontext()

    def album(self, count: int) -> list[Any]:
        """An empty list for what is noted of at most ``count`` examples."""
        return []

    def identical(self, facts: list[Any], sha256: Sequence[str], again: Again) -> np.ndarray:
        """Numbers the distinct examples.

        Args:
            facts: of each example.
            sha256: of each item.
            again: gives items for a closer look.

        Returns:
            int64, (N,): equal where examples are identical; numbered in the order of the first of each.
        """
        from bench.modalities.evidence import numbered

        return numbered(sha256)

    # ------------------------------------------------------------------------------------------- auditing

    def lookalikes(self, evidence: Evidence) -> list[Finding]:
        """Findings of examples that are nearly the same, beyond those that are known to be identical."""
        return []

    def findings(self, evidence: Evidence) -> list[Finding]:
        """What there is to say of the examples by themselves."""
        return []

    def summary(self, facts: Sequence[Any]) -> dict[str, Any]:
        """The examples in a few numbers, JSON-able."""
        return {}

    def described_summary(self, summary: Mapping[str, Any]) -> str:
        """The same as a line for a reader."""
        return ""

    # -------------------------------------------------------------------------------------------- showing

    def preview(self, row: np.ndarray) -> str:
        """A row as a small picture, a data URI, or as ``is_read`` says; empty: it cannot be shown."""
        return ""

    def sound(self, row: np.ndarray) -> str:
        """A row to listen to, a data URI of a few seconds; empty: there is nothing to hear."""
        return ""

    def snippet(self, row: np.ndarray, characters: int = 100) -> str:
        """The beginning of what a row says, in one line; not escaped; empty: it says nothing in words."""
        return ""

    # ------------------------------------------------------------------------------------------- learning

    def hashes(self, rows: np.ndarray) -> np.ndarray:
        """A hash of each row, by which examples of two datasets are known to be the same: uint8 (N, 16)."""
        import numpy as np

        each = [hashlib.blake2b(np.ascontiguousarray(row).tobytes(), digest_size=16).digest() for row in rows]
        return np.frombuffer(b"".join(each), np.uint8).reshape(-1, 16)

    @abstractmethod
    def inputs(self, size: int) -> dict[str, Tensor]:
        """What a network takes, by name, for inputs of this ``Input.size``."""

    @abstractmethod
    def reader(self, tokenizer: Any, size: int) -> Reader:
        """What makes input tensors of rows.

        Args:
            tokenizer: the network's own, where it has one; else None.
            size: of its inputs, see ``Input.size``.
        """
