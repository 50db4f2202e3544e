"""The payment's transition table, every pair of it, and what the transitions make of it."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_svc import domain
from payment_svc.domain import (
    FACETS,
    MOVES,
    Answer,
    Approved,
    Asking,
    Content,
    Declined,
    Event,
    Facets,
    IllegalMove,
    Money,
    Payment,
    Refusal,
    Refused,
    Release,
    Released,
    Stage,
    State,
    Unknown,
)

ID = "pay_1"
CONTENT = Content(
    order_id="ord_1", amount=Money(currency_code="USD", minor_units=100), payment_method="pm"
)
FREE = replace(CONTENT, amount=Money(currency_code="USD", minor_units=0))
DECLINE = Declined(reason="INSUFFICIENT_FUNDS", message="too poor")

REQUESTS = (Event.CREATE, Event.CONFIRM, Event.CANCEL)
ANSWERS = {
    Asking.HOLD: {Event.APPROVED, Event.DECLINED},
    Asking.CAPTURE: {Event.APPROVED, Event.DECLINED},
    Asking.RELEASE: {Event.RELEASED},
}
# What the gateway knows for a fact of a payment that asks nothing.
SETTLED = [stage for stage in Stage if FACETS[stage].asking is None]


def at(stage: Stage | None) -> Payment | None:
    """A payment at a stage, as it would be stored there."""
    if stage is None:
        return None
    declined = stage in {Stage.DECLINED, Stage.CAPTURE_DECLINED}
    return Payment(
        payment_id=ID,
        content=CONTENT,
        stage=stage,
        decline=DECLINE if declined else None,
        create_time_us=1,
        update_time_us=5,
        version=7,
    )


def there(stage: Stage) -> Payment:
    payment = at(stage)
    assert payment is not None
    return payment


def ask_for(payment: Payment | None, event: Event, *, now_us: int = 9) -> Payment:
    match event:
        case Event.CREATE:
            return domain.create(payment, ID, CONTENT, now_us)
        case Event.CONFIRM:
            return domain.confirm(payment, ID, now_us)
        case _:
            return domain.cancel(payment, ID, now_us)


def answer(payment: Payment, event: Event, *, now_us: int = 9) -> Payment:
    answers: dict[Event, Answer] = {
        Event.APPROVED: Approved(),
        Event.DECLINED: DECLINE,
        Event.RELEASED: Released(release=Release.VOIDED),
    }
    assert payment.asking is not None
    return domain.settle(payment, payment.asking, answers[event], now_us)


def test_every_request_at_every_stage_is_in_the_table() -> None:
    wanted = set(itertools.product([None, *Stage], REQUESTS))
    assert wanted == {pair for pair in MOVES if pair[1] in REQUESTS}


def test_an_answer_is_in_the_table_exactly_where_its_question_is_asked() -> None:
    wanted = {
        (stage, event)
        for stage in Stage
        for event in ANSWERS.get(FACETS[stage].asking or Asking.HOLD, set())
        if FACETS[stage].asking is not None
    }
    assert wanted == {pair for pair in MOVES if pair[1] not in REQUESTS}


@pytest.mark.parametrize(("stage", "event"), [pair for pair in MOVES if pair[1] in REQUESTS])
def test_a_request_does_what_the_table_says(stage: Stage | None, event: Event) -> None:
    before = at(stage)
    target = MOVES[stage, event]
    if isinstance(target, Refusal):
        with pytest.raises(Refused) as raised:
            ask_for(before, event)
        assert (target, ID) == (raised.value.refusal, raised.value.payment_id)
        assert (DECLINE if target is Refusal.DECLINED else None) == raised.value.decline
        return
    after = ask_for(before, event)
    assert target is after.stage
    if before is not None and target is stage:
        assert after is before
        return
    assert (1 if before is None else 8) == after.version
    assert 9 == after.update_time_us
    assert (9 if before is None else 1) == after.create_time_us
    due_us = 9 + domain.ASK_LEASE_US if after.asking is not None else 0
    assert due_us == after.ask_due_us


@pytest.mark.parametrize(("stage", "event"), [pair for pair in MOVES if pair[1] not in REQUESTS])
def test_an_answer_does_what_the_table_says(stage: Stage, event: Event) -> None:
    before = replace(there(stage), ask_attempts=3)
    after = answer(before, event)
    assert MOVES[stage, event] is after.stage
    assert (8, 9, 0) == (after.version, after.update_time_us, after.ask_attempts)
    assert (DECLINE if event is Event.DECLINED else None) == after.decline
    released = Release.VOIDED if event is Event.RELEASED else Release.NOTHING
    assert released is after.release


@pytest.mark.parametrize(
    ("stage", "event"),
    [
        (stage, event)
        for stage in Stage
        if FACETS[stage].asking is not None
        for event in (Event.APPROVED, Event.DECLINED, Event.RELEASED)
        if (stage, event) not in MOVES
    ],
)
def test_an_answer_that_is_none_to_the_question_is_a_defect(stage: Stage, event: Event) -> None:
    with pytest.raises(IllegalMove):
        answer(there(stage), event)


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("asked", Asking)
def test_an_answer_to_what_is_no_longer_asked_changes_nothing(stage: Stage, asked: Asking) -> None:
    payment = there(stage)
    if payment.asking is not asked:
        for late in (
            Approved(),
            DECLINE,
            Released(release=Release.VOIDED),
            Unknown(ask_again_us=1),
        ):
            assert payment is domain.settle(payment, asked, late, 9)


def test_an_answer_for_a_payment_that_is_gone_is_a_defect() -> None:
    with pytest.raises(IllegalMove):
        domain.settle(None, Asking.HOLD, Approved(), 9)


@pytest.mark.parametrize("stage", [stage for stage in Stage if FACETS[stage].asking is not None])
def test_an_unknown_answer_leaves_the_payment_asking_and_says_when_again(stage: Stage) -> None:
    before = there(stage)
    assert before.asking is not None
    after = domain.settle(before, before.asking, Unknown(ask_again_us=77), 9)
    assert (stage, 1, 77, 8) == (after.stage, after.ask_attempts, after.ask_due_us, after.version)
    assert before.update_time_us == after.update_time_us


@pytest.mark.parametrize("stage", [None, *Stage])
def test_a_cancel_is_never_refused_and_nothing_comes_of_the_payment_after_it(
    stage: Stage | None,
) -> None:
    payment = domain.cancel(at(stage), ID, 9)
    while (asking := payment.asking) is not None:
        # Wanted or not, a create and a confirm after the cancel are refused.
        for event in (Event.CREATE, Event.CONFIRM):
            with pytest.raises(Refused) as raised:
                ask_for(payment, event)
            assert Refusal.ALREADY_CANCELLED is raised.value.refusal
        payment = answer(payment, Event.RELEASED if asking is Asking.RELEASE else Event.APPROVED)
    assert payment.stage in {Stage.CANCELLED, Stage.DECLINED}


@pytest.mark.parametrize("stage", [None, *Stage])
def test_a_second_cancel_changes_nothing(stage: Stage | None) -> None:
    once = domain.cancel(at(stage), ID, 9)
    assert once is domain.cancel(once, ID, 10)


def test_a_cancelled_payment_and_a_declined_one_are_final() -> None:
    for stage in (Stage.CANCELLED, Stage.DECLINED):
        for (source, _), target in MOVES.items():
            if source is stage:
                assert target is stage or isinstance(target, Refusal)


def test_every_stage_can_be_reached() -> None:
    reached: set[Stage | None] = {None}
    while more := {
        target
        for (source, _), target in MOVES.items()
        if source in reached and isinstance(target, Stage) and target not in reached
    }:
        reached |= more
    assert {None, *Stage} == reached


def test_a_question_leads_on_only_where_its_answer_is_known() -> None:
    for (source, event), target in MOVES.items():
        if source is None or not isinstance(target, Stage) or event not in REQUESTS:
            continue
        if FACETS[source].asking is not None:
            assert FACETS[source].asking is FACETS[target].asking


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.CANCELLED])
def test_a_create_with_other_content_is_told_that_the_id_is_taken(stage: Stage) -> None:
    other = replace(CONTENT, order_id="ord_2")
    refusal = Refusal.ALREADY_CANCELLED if FACETS[stage].cancel_requested else Refusal.ID_REUSED
    with pytest.raises(Refused) as raised:
        domain.create(there(stage), ID, other, 9)
    assert refusal is raised.value.refusal


def test_a_create_of_a_tombstone_is_refused_as_cancelled() -> None:
    tombstone = domain.cancel(None, ID, 9)
    assert (None, State.CANCELLED, 1) == (tombstone.content, tombstone.state, tombstone.version)
    with pytest.raises(Refused) as raised:
        domain.create(tombstone, ID, CONTENT, 10)
    assert Refusal.ALREADY_CANCELLED is raised.value.refusal


def test_an_amount_of_zero_asks_nobody_from_its_creation_to_its_cancellation() -> None:
    held = domain.create(None, ID, FREE, 1)
    assert (Stage.HELD, 0, 1) == (held.stage, held.ask_due_us, held.version)
    confirmed = domain.confirm(held, ID, 2)
    assert (Stage.CONFIRMED, 2) == (confirmed.stage, confirmed.version)
    for payment in (held, confirmed):
        cancelled = domain.cancel(payment, ID, 3)
        assert (Stage.CANCELLED, Release.NOTHING) == (cancelled.stage, cancelled.release)


def test_a_declined_capture_stays_held_and_is_refused_the_same_way_again() -> None:
    held = answer(there(Stage.CAPTURING), Event.DECLINED)
    assert (State.HELD, DECLINE) == (held.state, held.decline)
    for _ in range(2):
        with pytest.raises(Refused) as raised:
            domain.confirm(held, ID, 10)
        assert (Refusal.DECLINED, DECLINE) == (raised.value.refusal, raised.value.decline)
    assert held is domain.create(held, ID, CONTENT, 10)
    voiding = domain.cancel(held, ID, 10)
    assert (Asking.RELEASE, DECLINE) == (voiding.asking, voiding.decline)


def test_a_hold_that_is_declined_for_a_payment_nobody_wants_is_declined() -> None:
    unwanted = domain.cancel(domain.create(None, ID, CONTENT, 1), ID, 2)
    declined = answer(unwanted, Event.DECLINED)
    assert (State.DECLINED, False) == (declined.state, declined.cancel_requested)


def test_time_never_goes_back_in_what_is_stored() -> None:
    assert 5 == domain.confirm(there(Stage.HELD), ID, 3).update_time_us


@pytest.mark.parametrize("stage", Stage)
def test_a_stage_is_known_by_its_facets_and_whether_it_was_declined(stage: Stage) -> None:
    declined = there(stage).decline is not None
    assert stage is domain.stage_of(FACETS[stage], declined=declined)


def test_a_release_of_a_declined_capture_is_known_by_its_facets() -> None:
    assert Stage.VOIDING is domain.stage_of(FACETS[Stage.VOIDING], declined=True)


def test_facets_that_no_payment_has_are_a_defect() -> None:
    possible = set(FACETS.values())
    for state, asking, wish in itertools.product(State, [None, *Asking], [False, True]):
        facets = Facets(state, asking, wish)
        if facets not in possible:
            with pytest.raises(IllegalMove):
                domain.stage_of(facets, declined=False)


@given(reason=st.text(), message=st.text(max_size=2_000))
def test_what_a_gateway_says_is_safe_to_store_and_to_show(reason: str, message: str) -> None:
    said = Declined(reason=reason, message=message)
    declined = domain.settle(there(Stage.HOLDING), Asking.HOLD, said, 9).decline
    assert declined is not None
    assert declined.reason in {reason, "PAYMENT_DECLINED"}
    assert declined.reason.isascii()
    assert declined.reason.replace("_", "").isalnum()
    assert len(declined.reason) <= 63
    assert len(declined.message) <= domain.DECLINE_MESSAGE_LENGTH_MAX
    assert "\x00" not in declined.message
    assert "\n" not in declined.message
    declined.message.encode()
