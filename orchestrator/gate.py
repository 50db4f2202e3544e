"""What stands before a call: whether its attempt may begin, or waits for its turn.

Invariant: an attempt that waits for its turn is not in the log yet, so nothing of it may have been
applied. Whoever asked for a turn gives it back, used or not. Must never: know what is behind the
gate, nor what an attempt is about.
"""

from collections.abc import Callable
from typing import Protocol


class Turn(Protocol):
    """A place among those who wait, and once it was granted one among those who are through."""

    @property
    def gate(self) -> "Gate":
        """Where it was asked for."""
        ...

    @property
    def granted(self) -> bool:
        """Whether the attempt may begin."""
        ...

    def give_back(self) -> None:
        """The attempt has ended, or does not begin. Once is enough; more does no harm."""
        ...


class Gate(Protocol):
    """Lets attempts through."""

    shut: bool
    """Whether attempts have to ask for a turn. Where it is not they need not: that is the usual
    case, and costs a look at this."""

    def queue(self, ring: Callable[[], None]) -> Turn:
        """Asks for a turn. `ring` is called when it is granted; not if that is at once."""
        ...
