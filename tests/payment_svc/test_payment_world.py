"""Hypothesis shakes a payment and its gateway, and would notice the bugs that are planted here."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from payment_svc import domain
from payment_svc.domain import (
    Answer,
    Asking,
    Content,
    Payment,
    Refusal,
    Refused,
    Released,
    Stage,
)
from tests.payment_svc.harness.world import Transitions, World

THOROUGH = settings(
    max_examples=300, stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow]
)
# The example that shows a planted bug is not made smaller: nobody reads it.
PLANTED = settings(
    THOROUGH,
    max_examples=5_000,
    stateful_step_count=15,
    phases=[Phase.generate],
    database=None,
    report_multiple_bugs=False,
    derandomize=True,
)


def test_whatever_happens_the_payment_and_the_ledger_agree() -> None:
    run_state_machine_as_test(World, settings=THOROUGH)


def takes_a_late_answer_for_a_new_one(
    payment: Payment | None, asked: Asking, answer: Answer, now_us: int
) -> Payment:
    """An answer is taken for the answer to whatever is being asked now."""
    assert payment is not None
    if payment.asking is None or isinstance(answer, Released) != (payment.asking is Asking.RELEASE):
        return domain.settle(payment, asked, answer, now_us)
    return domain.settle(payment, payment.asking, answer, now_us)


def forgets_the_wish(payment: Payment | None, payment_id: str, now_us: int) -> Payment:
    """A cancel while the gateway is being asked is answered, and not stored."""
    after = domain.cancel(payment, payment_id, now_us)
    if payment is not None and after.stage in {Stage.HOLDING_UNWANTED, Stage.CAPTURING_UNWANTED}:
        return payment
    return after


def cancels_before_it_is_known(payment: Payment | None, payment_id: str, now_us: int) -> Payment:
    """A cancel while the gateway is being asked does not wait for what it answers."""
    after = domain.cancel(payment, payment_id, now_us)
    if payment is not None and after.stage is Stage.HOLDING_UNWANTED and after is not payment:
        return replace(after, stage=Stage.CANCELLED)
    return after


def cancels_before_it_is_released(payment: Payment | None, payment_id: str, now_us: int) -> Payment:
    """A cancel of a held payment is stored as done before the gateway was asked."""
    after = domain.cancel(payment, payment_id, now_us)
    return replace(after, stage=Stage.CANCELLED) if after.stage is Stage.VOIDING else after


def creates_over_a_tombstone(
    payment: Payment | None, payment_id: str, content: Content, now_us: int
) -> Payment:
    """A create that arrives late is taken as if the cancel had never been."""
    try:
        return domain.create(payment, payment_id, content, now_us)
    except Refused as refused:
        if refused.refusal is not Refusal.ALREADY_CANCELLED or payment is None:
            raise
        return replace(payment, stage=Stage.HOLDING, content=content, version=payment.version + 1)


def takes_unknown_for_a_no(
    payment: Payment | None, asked: Asking, answer: Answer, now_us: int
) -> Payment:
    """Trouble at the gateway is taken for a decline."""
    match answer:
        case domain.Unknown() if asked is not Asking.RELEASE:
            declined = domain.Declined(reason="PAYMENT_DECLINED", message="")
            return domain.settle(payment, asked, declined, now_us)
        case domain.Unknown():
            released = Released(release=domain.Release.NOTHING)
            return domain.settle(payment, asked, released, now_us)
        case _:
            return domain.settle(payment, asked, answer, now_us)


def confirms_before_it_is_taken(payment: Payment | None, payment_id: str, now_us: int) -> Payment:
    """A confirm is stored as done before the gateway was asked."""
    after = domain.confirm(payment, payment_id, now_us)
    if after is not payment and after.stage is Stage.CAPTURING:
        return replace(after, stage=Stage.CONFIRMED)
    return after


BUGS: list[tuple[str, Any]] = [
    ("settle", takes_a_late_answer_for_a_new_one),
    ("settle", takes_unknown_for_a_no),
    ("cancel", forgets_the_wish),
    ("cancel", cancels_before_it_is_known),
    ("cancel", cancels_before_it_is_released),
    ("confirm", confirms_before_it_is_taken),
    ("create", creates_over_a_tombstone),
]


@pytest.mark.parametrize(("place", "bug"), BUGS, ids=[bug.__name__ for _, bug in BUGS])
def test_a_planted_bug_is_noticed(place: str, bug: Any) -> None:
    class WithBug(World):
        transitions = replace(Transitions(), **{place: bug})

    with pytest.raises(AssertionError):
        run_state_machine_as_test(WithBug, settings=PLANTED)
