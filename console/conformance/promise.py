"""A promise, and the two ways in which checking it can end badly.

Invariant: `Broken` says that the promise is broken, `Blocked` that something else is, without which
this one cannot be looked at. It must never be both: what a promise is about is never a need of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from console.conformance.participant import Participant

ALL: Final = frozenset({"order", "payment", "delivery"})


class Broken(Exception):  # noqa: N818 - named by what it says
    """The participant does not keep the promise; the text is what was seen."""


class Blocked(Exception):  # noqa: N818 - same
    """The promise could not be looked at, because something else is broken."""


class Lacking(Exception):  # noqa: N818 - same
    """The promise was not looked at, because a knob says that there is no such thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """One thing that a saga relies on.

    `says` is the promise in one line; `means` why anybody needs it; `mend` what to do where it is
    broken. `kinds` are the participants that make it. Advice is told and fails nothing.
    """

    name: str
    says: str
    means: str
    mend: str
    check: Callable[[Participant], None]
    kinds: frozenset[str] = ALL
    advice: bool = False


def expect(kept: bool, seen: str) -> None:
    """The promise is broken unless `kept`.

    Raises:
        Broken: With what was seen.
    """
    if not kept:
        raise Broken(seen)


def need(there: bool, seen: str) -> None:
    """The promise cannot be looked at unless `there`.

    Raises:
        Blocked: With what was seen instead.
    """
    if not there:
        raise Blocked(seen)


def have(value: str, option: str) -> None:
    """The promise is about something that a knob names, and that may not exist.

    Raises:
        Lacking: There is no such thing.
    """
    if not value:
        raise Lacking(f"{option} is empty: there is nothing to look at")
