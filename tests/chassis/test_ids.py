import threading
import uuid
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from chassis.clock import SystemClock
from chassis.ids import SUFFIX_LENGTH, IdSource, sibling, suffix_of

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class HandClock:
    """Tells what it is set to."""

    def __init__(self, now_us: int = 1_700_000_000_000_000) -> None:
        self.set_us = now_us

    def now_us(self) -> int:
        return self.set_us

    async def sleep(self, seconds: float) -> None:
        self.set_us += int(seconds * 1_000_000)


def uuid_of(suffix: str) -> uuid.UUID:
    number = 0
    for character in suffix:
        number = number * 32 + ALPHABET.index(character)
    return uuid.UUID(int=number)


def highest(count: int) -> bytes:
    return b"\xff" * count


def lowest(count: int) -> bytes:
    return b"\x00" * count


def test_a_suffix_is_a_uuid_of_version_7_that_holds_the_time() -> None:
    clock = HandClock()
    suffix = IdSource(clock).suffix()
    drawn = uuid_of(suffix)
    assert len(suffix) == SUFFIX_LENGTH
    assert drawn.version == 7
    assert drawn.variant == uuid.RFC_4122
    assert drawn.int >> 80 == clock.now_us() // 1_000


def test_an_id_is_its_prefix_and_its_suffix() -> None:
    id_ = IdSource(SystemClock()).draw("ord")
    assert id_.startswith("ord_")
    assert sibling("pay", id_) == "pay" + id_[3:]


def test_what_has_no_underscore_has_no_suffix() -> None:
    assert suffix_of("order-1") == ""
    assert suffix_of("a_b_c") == "b_c"


@given(
    steps_us=st.lists(st.integers(min_value=-5_000_000, max_value=5_000_000), max_size=50),
    entropy=st.sampled_from([highest, lowest]),
)
def test_ids_sort_in_the_order_they_were_drawn_whatever_the_clock_does(
    steps_us: list[int], entropy: Callable[[int], bytes]
) -> None:
    clock = HandClock()
    source = IdSource(clock, entropy)
    drawn = [source.draw("ord")]
    for step_us in steps_us:
        clock.set_us += step_us
        drawn.append(source.draw("ord"))
    assert drawn == sorted(set(drawn))


def test_a_millisecond_whose_numbers_run_out_borrows_from_the_next() -> None:
    source = IdSource(HandClock(), highest)
    source.suffix()
    source._random = (1 << 74) - 1
    last = source._millisecond
    assert uuid_of(source.suffix()).int >> 80 == last + 1


def test_threads_that_share_a_source_never_draw_the_same() -> None:
    source = IdSource(HandClock())
    drawn: list[list[str]] = [[] for _ in range(4)]

    def draw(into: list[str]) -> None:
        into.extend(source.suffix() for _ in range(500))

    threads = [threading.Thread(target=draw, args=(it,)) for it in drawn]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({suffix for it in drawn for suffix in it}) == 2_000
    assert all(it == sorted(it) for it in drawn)


def test_replicas_whose_clocks_agree_never_draw_the_same() -> None:
    sources = [IdSource(HandClock()) for _ in range(3)]
    drawn = {source.suffix() for _ in range(5_000) for source in sources}
    assert len(drawn) == 15_000


def test_replicas_without_chance_would_draw_the_same() -> None:
    """Removes the mechanism: the test above would fail."""
    assert IdSource(HandClock(), lowest).suffix() == IdSource(HandClock(), lowest).suffix()
