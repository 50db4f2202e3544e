"""How long processes were in nobody's hands, told from their moves.

Invariant: each time that a process changed its owner is counted once. Pure. Must never: count the
wait of a process that was not due.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from bench.chaos.hands import Move
from bench.chaos.service import End, How

Span = tuple[int, int]
"""From when to when, in microseconds since 1970."""

_US: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeovers:
    """One figure for each process and each time that it was taken over, in seconds."""

    killed: tuple[float, ...]
    """From the `kill -9` of its owner to the claim, where there was somebody who could claim."""
    killed_first: tuple[float, ...]
    """Of these the first of each kill."""
    killed_unseen: tuple[float, ...]
    """The same, where the database was away for some of that time, or no other replica was there
    when the lease lapsed."""
    drained: tuple[float, ...]
    """From when a draining owner let go of it, or from when it was due, to the claim."""
    alive: tuple[str, ...]
    """Those that were taken from owners whom nobody had ended: they stood still, or the database
    was away for longer than their lease."""

    @property
    def total(self) -> int:
        """How often a process changed its owner."""
        return len(self.killed) + len(self.killed_unseen) + len(self.drained) + len(self.alive)


def takeovers(
    moves: Sequence[Move],
    ends: Sequence[End],
    *,
    outages_us: Sequence[Span] = (),
    away_us: Mapping[str, Sequence[Span]],
    lease_seconds: float,
) -> Takeovers:
    """What the moves say.

    Args:
        moves: In the order in which they happened.
        ends: The lives that were ended.
        outages_us: When the database was away.
        away_us: When each replica was, by its name.
        lease_seconds: After how long a silent owner is taken for dead.
    """
    kills = {it.owner: it for it in ends if it.how is How.KILLED}
    drained = {it.owner for it in ends if it.how is How.DRAINED}
    by_kill: dict[str, list[float]] = {}
    unseen: list[float] = []
    alive: list[str] = []
    for move in moves:
        if move.left_by is None or move.taken_by is None:
            continue
        kill = kills.get(move.left_by)
        if kill is None or move.time_us < kill.time_us:
            alive.append(move.process_id)
            continue
        seconds = (move.time_us - kill.time_us) / _US
        lapse_us = kill.time_us + round(lease_seconds * _US)
        others = [spans for name, spans in away_us.items() if name != kill.replica]
        if any(began < move.time_us and kill.time_us < over for began, over in outages_us) or all(
            any(began <= lapse_us <= over for began, over in spans) for spans in others
        ):
            unseen.append(seconds)
        else:
            by_kill.setdefault(move.left_by, []).append(seconds)
    return Takeovers(
        killed=tuple(it for seconds in by_kill.values() for it in seconds),
        killed_first=tuple(min(it) for it in by_kill.values()),
        killed_unseen=tuple(unseen),
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
