"""Rows in one place or in several: functions are sent to them, results come back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Concatenate, Protocol, TypeVar, cast

P = TypeVar("P")
R = TypeVar("R")
PartT = TypeVar("PartT", covariant=True)
ResultT = TypeVar("ResultT", covariant=True)


class Kept(Protocol[ResultT]):
    """One result for each part, left where the part is.

    Only the :class:`Parts` that made it know how it is stored.
    """


class Parts(Protocol[PartT]):
    """Rows in one place or in several, as parts of one type.

    A function is called with a part and then with the given arguments. For an argument
    that ``keep`` returned, the function gets the result that belongs to its part.
    Functions must be importable and must not change their arguments.
    """

    def keep(
        self, function: Callable[Concatenate[PartT, ...], R], *arguments: object
    ) -> Kept[R]:
        """Call the function for each part and leave the results where the parts are."""

    def gather(
        self, function: Callable[Concatenate[PartT, ...], R], *arguments: object
    ) -> list[R]:
        """Call the function for each part and return the results."""

    def numbers(self) -> Kept[int]:
        """The number of each part, from 0 on, as if ``keep`` had returned it."""

    def made(self, kept: Kept[P]) -> Parts[P]:
        """Make parts of results that ``keep`` returned."""

    def joined(
        self,
        function: Callable[Concatenate[list[P], ...], R],
        kept: Kept[P],
        *arguments: object,
    ) -> R:
        """Call the function once, with the list of the kept results of all parts."""


@dataclass(frozen=True, eq=False)
class LocalParts(Parts[PartT]):
    """All rows in one part in this process; a kept result is the result itself."""

    part: PartT

    def keep(
        self, function: Callable[Concatenate[PartT, ...], R], *arguments: object
    ) -> Kept[R]:
        return function(self.part, *arguments)

    def gather(
        self, function: Callable[Concatenate[PartT, ...], R], *arguments: object
    ) -> list[R]:
        return [function(self.part, *arguments)]

    def numbers(self) -> Kept[int]:
        return cast("Kept[int]", 0)

    def made(self, kept: Kept[P]) -> LocalParts[P]:
        return LocalParts(cast("P", kept))

    def joined(
        self,
        function: Callable[Concatenate[list[P], ...], R],
        kept: Kept[P],
        *arguments: object,
    ) -> R:
        return function([cast("P", kept)], *arguments)
