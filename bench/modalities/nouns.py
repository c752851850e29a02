"""What sentences call examples."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Noun:
    """What sentences call examples.

    Attributes:
        one: ``image``.
        many: ``images``.
        content: what two identical ones have in common: their ``pixels``.
        original: the one thing that identical ones are copies of: a ``picture``.
        alike: what would be more like those at hand, after ``many``.
    """

    one: str
    many: str
    content: str = "content"
    original: str = "content"
    alike: str = "like these"

    @property
    def any(self) -> str:
        """``an image``."""
        return f"{'an' if self.one[0] in 'aeiou' else 'a'} {self.one}"
