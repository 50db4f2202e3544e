"""How long processes were in nobody's hands, told from their moves.

Invariant: each time that a process changed its owner is counted once. Pure. Must never: count the
wait of a process that was not due.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.chaos.hands import Move
from bench.chaos.service import End, How

_US: float = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeovers:
    """One figure for each process and each time that it was taken over, in seconds."""

    killed: tuple[float, ...]
    """From the `kill -9` of its owner to the claim, while the database was there throughout."""
    killed_first: tuple[float, ...]
    """Of these the first of each kill."""
    killed_in_outage: tuple[float, ...]
    """The same, where the database was away for some of that time."""
    drained: tuple[float, ...]
    """From when a draining owner let go of it, or from when it was due, to the claim."""
    alive: tuple[str, ...]
    """Those that were taken from owners whom nobody had ended: they stood still, or the database
    was away for longer than their lease."""

    @property
    def total(self) -> int:
        """How often a process changed its owner."""
        return len(self.killed) + len(self.killed_in_outage) + len(self.drained) + len(self.alive)


def takeovers(
    moves: Sequence[Move], ends: Sequence[End], outages_us: Sequence[tuple[int, int]]
) -> Takeovers:
    """What the moves say, in the order in which they happened."""
    killed_us = {it.owner: it.time_us for it in ends if it.how is How.KILLED}
    drained = {it.owner for it in ends if it.how is How.DRAINED}
    by_kill: dict[str, list[float]] = {}
    in_outage: list[float] = []
    alive: list[str] = []
    for move in moves:
        if move.left_by is None or move.taken_by is None:
            continue
        killed_at_us = killed_us.get(move.left_by)
        if killed_at_us is None or move.time_us < killed_at_us:
            alive.append(move.process_id)
            continue
        seconds = (move.time_us - killed_at_us) / _US
        if any(began < move.time_us and killed_at_us < over for began, over in outages_us):
            in_outage.append(seconds)
        else:
            by_kill.setdefault(move.left_by, []).append(seconds)
    return Takeovers(
        killed=tuple(it for seconds in by_kill.values() for it in seconds),
        killed_first=tuple(min(it) for it in by_kill.values()),
        killed_in_outage=tuple(in_outage),
        drained=tuple(_waits(moves, drained)),
        alive=tuple(alive),
    )


def middle_and_longest(seconds: Sequence[float]) -> str:
    """As the table shows it."""
    if not seconds:
        return "none"
    return f"{statistics.median(seconds):.2f} / {max(seconds):.2f}"


def _waits(moves: Sequence[Move], drained: set[str]) -> list[float]:
    """How long what the drained let go of had to wait."""
    by_process: dict[str, list[Move]] = {}
    for move in moves:
        by_process.setdefault(move.process_id, []).append(move)
    return [
        max(0.0, claim.time_us - max(release.time_us, release.due_time_us)) / _US
        for those in by_process.values()
        for release, claim in pairwise(those)
        if release.taken_by is None
        and release.left_by in drained
        and release.due_time_us is not None
        and claim.taken_by is not None
    ]
