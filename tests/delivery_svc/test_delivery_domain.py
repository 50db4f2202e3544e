"""What can happen to a delivery: every pair of state and request, with a courier and without."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery_svc.domain import (
    MOVES,
    NO_COURIER_AVAILABLE,
    Address,
    Content,
    Delivery,
    Event,
    Refusal,
    Refused,
    State,
    cancel,
    create,
)

BORN_US, NOW_US = 1_000, 2_000
ID = "dlv_1"

CONTENT = Content(
    order_id="ord_1",
    address=Address(
        recipient="Ada",
        lines=("1 Market St",),
        locality="San Francisco",
        region="",
        postal_code="94105",
        country_code="US",
    ),
)
OTHER_CONTENT = replace(CONTENT, order_id="ord_2")


class FakeCouriers:
    """As many as are given; who takes and frees is counted."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.taken: Counter[str] = Counter()

    def take(self, country_code: str) -> str | None:
        if self.places == 0:
            return None
        self.places -= 1
        courier_id = f"crr_{country_code}"
        self.taken[courier_id] += 1
        return courier_id

    def free(self, courier_id: str) -> None:
        self.places += 1
        self.taken[courier_id] -= 1
        assert self.taken[courier_id] >= 0


def delivery_in(state: State, content: Content | None = CONTENT) -> Delivery:
    return Delivery(
        delivery_id=ID,
        content=content,
        state=state,
        courier_id="crr_US" if state is State.ASSIGNED else None,
        reject_reason=NO_COURIER_AVAILABLE if state is State.REJECTED else None,
        create_time_us=BORN_US,
        update_time_us=BORN_US,
        version=3,
    )


def ask(event: Event, delivery: Delivery | None, couriers: FakeCouriers) -> Delivery:
    match event:
        case Event.CREATE | Event.CREATE_IN_VAIN:
            return create(delivery, ID, CONTENT, couriers, NOW_US)
        case Event.CANCEL:
            return cancel(delivery, ID, couriers, NOW_US)


# Written down once more, by hand, from the contract: the table is compared with it.
A, R, X = State.ASSIGNED, State.REJECTED, State.CANCELLED
CONTRACT: dict[Event, dict[State | None, State | Refusal]] = {
    Event.CREATE: {None: A, A: A, R: Refusal.REJECTED, X: Refusal.ALREADY_CANCELLED},
    Event.CREATE_IN_VAIN: {None: R, A: A, R: Refusal.REJECTED, X: Refusal.ALREADY_CANCELLED},
    Event.CANCEL: {None: X, A: X, R: R, X: X},
}
PAIRS = [(state, event) for state in (None, *State) for event in Event]


def test_the_table_has_every_pair_that_can_happen() -> None:
    cannot = {(state, Event.CREATE_IN_VAIN) for state in State}
    assert set(PAIRS) - cannot == set(MOVES)


@pytest.mark.parametrize(("state", "event"), PAIRS)
def test_every_pair_goes_where_the_contract_says(state: State | None, event: Event) -> None:
    before = None if state is None else delivery_in(state)
    couriers = FakeCouriers(0 if event is Event.CREATE_IN_VAIN else 1)
    couriers.taken["crr_US"] = 1 if state is State.ASSIGNED else 0
    expected = CONTRACT[event][state]
    if isinstance(expected, Refusal):
        with pytest.raises(Refused) as refused:
            ask(event, before, couriers)
        assert (expected, ID) == (refused.value.refusal, refused.value.delivery_id)
    else:
        after = ask(event, before, couriers)
        assert expected is after.state
        if before is None:
            times = (after.create_time_us, after.update_time_us)
            assert (1, NOW_US, NOW_US) == (after.version, *times)
        elif expected is state:
            assert before is after
        else:
            assert replace(before, state=expected, version=4, update_time_us=NOW_US) == after
    # A courier is taken by the move to ASSIGNED and freed by the move away from it.
    held = (state, event) == (None, Event.CREATE) or (
        state is State.ASSIGNED and event is not Event.CANCEL
    )
    assert (1 if held else 0) == couriers.taken["crr_US"]


def test_an_assigned_delivery_names_its_courier_for_good() -> None:
    couriers = FakeCouriers(1)
    assigned = create(None, ID, CONTENT, couriers, NOW_US)
    assert "crr_US" == assigned.courier_id
    assert "crr_US" == cancel(assigned, ID, couriers, NOW_US).courier_id


def test_a_rejected_delivery_says_why() -> None:
    rejected = create(None, ID, CONTENT, FakeCouriers(0), NOW_US)
    assert (NO_COURIER_AVAILABLE, None) == (rejected.reject_reason, rejected.courier_id)


@pytest.mark.parametrize("state", [State.ASSIGNED, State.REJECTED])
def test_a_create_with_other_content_is_refused_in_every_state_it_could_repeat(
    state: State,
) -> None:
    with pytest.raises(Refused) as refused:
        create(delivery_in(state), ID, OTHER_CONTENT, FakeCouriers(1), NOW_US)
    assert Refusal.ID_REUSED is refused.value.refusal


@pytest.mark.parametrize("content", [None, CONTENT, OTHER_CONTENT])
def test_a_create_of_what_was_cancelled_is_told_so_whatever_its_content(
    content: Content | None,
) -> None:
    with pytest.raises(Refused) as refused:
        create(delivery_in(State.CANCELLED, content), ID, CONTENT, FakeCouriers(1), NOW_US)
    assert Refusal.ALREADY_CANCELLED is refused.value.refusal


@given(
    places=st.integers(0, 3),
    events=st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(Event)), max_size=30),
)
def test_couriers_have_as_many_deliveries_as_are_assigned(
    places: int, events: list[tuple[str, Event]]
) -> None:
    couriers = FakeCouriers(places)
    deliveries: dict[str, Delivery] = {}
    for delivery_id, event in events:
        before = deliveries.get(delivery_id)
        try:
            after = ask(event, before, couriers)
        except Refused:
            continue
        deliveries[delivery_id] = after
        if before is not None and before.state is not State.ASSIGNED:
            assert after is before
    assigned = sum(it.state is State.ASSIGNED for it in deliveries.values())
    assert assigned == couriers.taken.total()
    assert places == couriers.places + assigned
