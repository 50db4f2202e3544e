"""What can happen to an order: every pair of a state and a request."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_svc.domain import (
    MINOR_UNITS_MAX,
    MOVES,
    Address,
    Content,
    DoesNotAddUp,
    Event,
    Flaw,
    Item,
    Money,
    Order,
    Refusal,
    Refused,
    State,
    add_up,
    cancel,
    confirm,
    create,
)

BORN_US, NOW_US = 1_000, 2_000
ID = "ord_1"


def price(minor_units: int, currency_code: str = "USD") -> Money:
    return Money(currency_code=currency_code, minor_units=minor_units)


def item(quantity: int, minor_units: int, currency_code: str = "USD") -> Item:
    return Item(sku="BOOK", quantity=quantity, unit_price=price(minor_units, currency_code))


CONTENT = Content(
    customer_id="c1",
    items=(item(2, 1_250),),
    total=price(2_500),
    delivery_address=Address(
        recipient="Ada",
        lines=("1 Market St",),
        locality="San Francisco",
        region="",
        postal_code="94105",
        country_code="US",
    ),
)
OTHER_CONTENT = replace(CONTENT, customer_id="c2")


def order_in(state: State, content: Content | None = CONTENT) -> Order:
    return Order(
        order_id=ID,
        content=content,
        state=state,
        create_time_us=BORN_US,
        update_time_us=BORN_US,
        version=3,
    )


ASK: dict[Event, Callable[[Order | None], Order]] = {
    Event.CREATE: lambda order: create(order, ID, CONTENT, NOW_US),
    Event.CONFIRM: lambda order: confirm(order, ID, NOW_US),
    Event.CANCEL: lambda order: cancel(order, ID, NOW_US),
}

# Written down once more, by hand, from the contract: the table is compared with it.
P, C, X = State.PENDING, State.CONFIRMED, State.CANCELLED
CONTRACT: dict[Event, dict[State | None, State | Refusal]] = {
    Event.CREATE: {None: P, P: P, C: C, X: Refusal.ALREADY_CANCELLED},
    Event.CONFIRM: {None: Refusal.NOT_FOUND, P: C, C: C, X: Refusal.ALREADY_CANCELLED},
    Event.CANCEL: {None: X, P: X, C: X, X: X},
}


def test_the_table_has_every_pair() -> None:
    assert {(state, event) for state in (None, *State) for event in Event} == set(MOVES)


@pytest.mark.parametrize(("state", "event"), MOVES)
def test_every_pair_goes_where_the_contract_says(state: State | None, event: Event) -> None:
    before = None if state is None else order_in(state)
    expected = CONTRACT[event][state]
    if isinstance(expected, Refusal):
        with pytest.raises(Refused) as refused:
            ASK[event](before)
        assert (expected, ID) == (refused.value.refusal, refused.value.order_id)
        return
    after = ASK[event](before)
    assert expected is after.state
    if before is None:
        assert (1, NOW_US, NOW_US) == (after.version, after.create_time_us, after.update_time_us)
    elif expected is state:
        assert before is after
    else:
        assert (
            replace(before, state=expected, version=before.version + 1, update_time_us=NOW_US)
            == after
        )


@pytest.mark.parametrize("state", [State.PENDING, State.CONFIRMED])
def test_a_create_with_other_content_is_refused_in_every_state_it_could_repeat(
    state: State,
) -> None:
    with pytest.raises(Refused) as refused:
        create(order_in(state), ID, OTHER_CONTENT, NOW_US)
    assert Refusal.ID_REUSED is refused.value.refusal


@pytest.mark.parametrize("content", [None, CONTENT, OTHER_CONTENT])
def test_a_create_of_what_was_cancelled_is_told_so_whatever_its_content(
    content: Content | None,
) -> None:
    with pytest.raises(Refused) as refused:
        create(order_in(State.CANCELLED, content), ID, CONTENT, NOW_US)
    assert Refusal.ALREADY_CANCELLED is refused.value.refusal


def test_a_tombstone_has_no_content() -> None:
    assert cancel(None, ID, NOW_US).content is None


def test_cancelled_is_for_good() -> None:
    assert {X} == {
        target for (state, _), target in MOVES.items() if state is X and isinstance(target, State)
    }


def test_time_never_goes_back_in_what_is_stored() -> None:
    assert BORN_US == confirm(order_in(State.PENDING), ID, BORN_US - 1).update_time_us


@given(events=st.lists(st.sampled_from(Event), max_size=12))
def test_whatever_is_asked_in_whatever_order_an_order_never_comes_back(
    events: list[Event],
) -> None:
    order: Order | None = None
    for event in events:
        before = order
        try:
            order = ASK[event](before)
        except Refused:
            continue
        if before is not None:
            assert before.content == order.content
            assert before.version <= order.version <= before.version + 1
            assert before.state is not State.CANCELLED or order is before


def test_the_total_is_the_sum_of_quantity_times_price() -> None:
    assert price(2_950) == add_up([item(2, 1_250), item(3, 150)])


def test_what_costs_nothing_adds_up_to_nothing() -> None:
    assert price(0) == add_up([item(7, 0)])


def test_the_total_may_be_as_large_as_int64() -> None:
    assert price(MINOR_UNITS_MAX) == add_up([item(1, MINOR_UNITS_MAX), item(5, 0)])


def test_every_item_of_another_currency_is_named() -> None:
    items = [item(1, 1), item(1, 1, "EUR"), item(1, 1), item(1, 1, "JPY")]
    with pytest.raises(DoesNotAddUp) as flawed:
        add_up(items)
    assert ((1, Flaw.OTHER_CURRENCY), (3, Flaw.OTHER_CURRENCY)) == flawed.value.flaws


def test_the_item_that_takes_the_total_beyond_int64_is_named_once() -> None:
    items = [item(1, MINOR_UNITS_MAX), item(1, 0), item(1, 1), item(1, 1)]
    with pytest.raises(DoesNotAddUp) as flawed:
        add_up(items)
    assert ((2, Flaw.TOTAL_TOO_LARGE),) == flawed.value.flaws


@given(
    items=st.lists(
        st.tuples(st.integers(1, 1_000_000), st.integers(0, MINOR_UNITS_MAX)), min_size=1
    )
)
def test_a_total_is_right_or_refused(items: list[tuple[int, int]]) -> None:
    expected = sum(quantity * minor_units for quantity, minor_units in items)
    ordered = [item(quantity, minor_units) for quantity, minor_units in items]
    if expected <= MINOR_UNITS_MAX:
        assert price(expected) == add_up(ordered)
    else:
        with pytest.raises(DoesNotAddUp):
            add_up(ordered)
