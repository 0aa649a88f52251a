"""Rows in one place or many: functions go to them, small results come back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Parts(Protocol):
    """Rows in one place or many; functions go to them and small results come back.

    A function takes a part, then the arguments given; of one that ``keep`` returned it
    gets what belongs to its part. Functions must be importable and must not change
    what they are given.
    """

    def keep(self, function: Callable, *arguments: object) -> object:
        """What the function makes of each part, left where the part is."""

    def gather(self, function: Callable, *arguments: object) -> list:
        """What the function makes of each part."""

    def made(self, kept: object) -> Parts:
        """Parts made of what ``keep`` returned."""

    def joined(self, function: Callable, kept: object, *arguments: object) -> object:
        """What the function makes of the list of all parts' own, in one place."""


@dataclass(frozen=True, eq=False)
class LocalParts:
    """All rows in one part in this process."""

    part: object

    def keep(self, function: Callable, *arguments: object) -> object:
        return function(self.part, *arguments)

    def gather(self, function: Callable, *arguments: object) -> list:
        return [function(self.part, *arguments)]

    def made(self, kept: object) -> LocalParts:
        return LocalParts(kept)

    def joined(self, function: Callable, kept: object, *arguments: object) -> object:
        return function([kept], *arguments)
