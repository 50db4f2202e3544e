"""How long processes were in nobody's hands, told from their moves."""

from collections.abc import Sequence

from bench.chaos.hands import Move
from bench.chaos.service import End, How
from bench.chaos.takeovers import Takeovers, middle_and_longest, takeovers

SECOND = 1_000_000
KILLED = End(replica="one", how=How.KILLED, owner="orc_killed", time_us=10 * SECOND)
DRAINED = End(replica="one", how=How.DRAINED, owner="orc_drained", time_us=10 * SECOND)


def taken(
    moves: Sequence[Move],
    end: End,
    *,
    outage: tuple[float, float] | None = None,
    other_away: tuple[float, float] | None = None,
) -> Takeovers:
    """Of two replicas, one and another; the lease is two seconds."""
    return takeovers(
        moves,
        [end],
        outages_us=[] if outage is None else [span(outage)],
        away_us={"one": [], "another": [] if other_away is None else [span(other_away)]},
        lease_seconds=2,
    )


def span(seconds: tuple[float, float]) -> tuple[int, int]:
    return round(seconds[0] * SECOND), round(seconds[1] * SECOND)


def move(
    process_id: str,
    left_by: str | None,
    taken_by: str | None,
    *,
    at: float,
    due: float | None = 0.0,
) -> Move:
    return Move(
        process_id=process_id,
        left_by=left_by,
        taken_by=taken_by,
        due_time_us=None if due is None else round(due * SECOND),
        time_us=round(at * SECOND),
    )


def test_what_a_killed_owner_left_is_measured_from_the_kill() -> None:
    told = taken(
        [
            move("a", "orc_killed", "orc_1", at=12),
            move("b", "orc_killed", "orc_2", at=13),
        ],
        KILLED,
    )
    assert (2.0, 3.0) == told.killed
    assert (2.0,) == told.killed_first
    assert 2 == told.total


def test_what_was_taken_while_the_database_was_away_in_between_stands_apart() -> None:
    moves = [move("a", "orc_killed", "orc_1", at=14)]
    told = taken(moves, KILLED, outage=(11, 13))
    assert () == told.killed
    assert (4.0,) == told.killed_unseen
    assert (4.0,) == taken(moves, KILLED, outage=(7, 9)).killed


def test_what_nobody_was_there_to_take_when_the_lease_lapsed_stands_apart() -> None:
    moves = [move("a", "orc_killed", "orc_1", at=14)]
    told = taken(moves, KILLED, other_away=(11.5, 13.5))
    assert ((), (4.0,)) == (told.killed, told.killed_unseen)
    told = taken(moves, KILLED, other_away=(9, 11))
    assert ((4.0,), ()) == (told.killed, told.killed_unseen)


def test_what_was_taken_from_the_living_is_counted_also_if_they_are_killed_later() -> None:
    told = taken(
        [
            move("a", "orc_stopped", "orc_1", at=12),
            move("b", "orc_killed", "orc_1", at=9),
        ],
        KILLED,
    )
    assert ("a", "b") == told.alive
    assert (2, ()) == (told.total, told.killed)


def test_what_a_drained_owner_let_go_of_is_measured_from_there_or_from_when_it_was_due() -> None:
    told = taken(
        [
            move("a", "orc_drained", None, at=10, due=10),
            move("b", "orc_drained", None, at=10, due=12),
            move("c", "orc_drained", None, at=10, due=None),
            move("a", None, "orc_1", at=10.25, due=10),
            move("b", None, "orc_1", at=12.5, due=12),
        ],
        DRAINED,
    )
    assert (0.25, 0.5) == told.drained
    assert 2 == told.total


def test_who_waits_in_the_log_for_long_is_nobodys_hand_over() -> None:
    moves = [
        move("a", "orc_1", None, at=10, due=70),
        move("a", None, "orc_2", at=70, due=70),
    ]
    assert 0 == taken(moves, DRAINED).total


def test_the_middle_and_the_longest_are_shown() -> None:
    assert "2.00 / 9.00" == middle_and_longest([1, 2, 9])
    assert "none" == middle_and_longest([])
