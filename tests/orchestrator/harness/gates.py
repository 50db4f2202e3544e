"""A gate that somebody opens and shuts by hand."""

import asyncio
from collections.abc import Callable


class HandTurn:
    def __init__(self, gate: "HandGate", ring: Callable[[], None]) -> None:
        self.gate = gate
        self.ring = ring
        self.granted = False
        self.times_given_back = 0

    def give_back(self) -> None:
        self.times_given_back += 1
        self.gate.turns.remove(self)


class HandGate:
    """Holds everybody while it is shut."""

    def __init__(self, *, shut: bool = True) -> None:
        self.shut = shut
        self.asked_for = 0
        self.asked = asyncio.Event()
        self.turns: list[HandTurn] = []
        """Those that were not given back."""

    def queue(self, ring: Callable[[], None]) -> HandTurn:
        self.asked_for += 1
        self.asked.set()
        turn = HandTurn(self, ring)
        turn.granted = not self.shut
        self.turns.append(turn)
        return turn

    def grant(self) -> None:
        """Lets the first of those through who wait."""
        turn = next(it for it in self.turns if not it.granted)
        turn.granted = True
        turn.ring()
