"""The sandbox's ledger: whatever is asked, in whatever order, no effect happens twice."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_svc.domain import Declined, Money, Release
from payment_svc.sandbox.ledger import (
    METHODS,
    Balance,
    Entry,
    Kind,
    Misused,
    Question,
    balances,
    enter,
)

ID = "pay_1"
USD = Money(currency_code="USD", minor_units=100)


def question(kind: Kind, *, method: str = "pm_card_visa", time_us: int = 1) -> Question:
    return Question(
        payment_id=ID,
        kind=kind,
        amount=None if kind is Kind.RELEASE else USD,
        method=method if kind is Kind.HOLD else "",
        time_us=time_us,
    )


def ask(*kinds: Kind, method: str = "pm_card_visa") -> tuple[dict[Kind, Entry], list[Entry]]:
    """The ledger after these questions, and what each was answered from."""
    ledger: dict[Kind, Entry] = {}
    answers = []
    for time_us, kind in enumerate(kinds):
        entry = enter(ledger, question(kind, method=method, time_us=time_us))
        ledger.setdefault(kind, entry)
        answers.append(entry)
    return ledger, answers


def balance(ledger: dict[Kind, Entry]) -> Balance:
    return balances(ledger.values())[ID]


ORDERS = [kinds for length in range(1, 6) for kinds in itertools.product(Kind, repeat=length)]


@pytest.mark.parametrize("method", METHODS)
def test_in_any_order_of_questions_a_repeat_gets_the_first_answer(method: str) -> None:
    for kinds in ORDERS:
        _, answers = ask(*kinds, method=method)
        for kind in Kind:
            assert len({id(entry) for entry in answers if entry.kind is kind}) <= 1


@pytest.mark.parametrize("method", METHODS)
def test_in_any_order_of_questions_the_money_adds_up(method: str) -> None:
    for kinds in ORDERS:
        ledger, _ = ask(*kinds, method=method)
        moved = balance(ledger)
        assert {0, 100} >= {moved.held, moved.captured, moved.released}
        assert moved.captured <= moved.held
        assert moved.released <= moved.held
        assert moved.on_hold + moved.taken in {0, 100}


@pytest.mark.parametrize("method", METHODS)
def test_after_a_release_nothing_is_held_or_taken_and_never_will_be(method: str) -> None:
    for before, after in itertools.product([(), *ORDERS[:39]], [(), *ORDERS[:39]]):
        moved = balance(ask(*before, Kind.RELEASE, *after, method=method)[0])
        assert (0, 0) == (moved.on_hold, moved.taken)


def test_what_is_released_is_a_void_before_the_capture_and_a_refund_after_it() -> None:
    def released(*kinds: Kind) -> Release:
        return ask(*kinds, Kind.RELEASE)[1][-1].release

    assert Release.NOTHING is released()
    assert Release.VOIDED is released(Kind.HOLD)
    assert Release.REFUNDED is released(Kind.HOLD, Kind.CAPTURE)


def test_a_capture_without_a_hold_is_declined() -> None:
    _, (capture,) = ask(Kind.CAPTURE)
    assert capture.decline is not None


def test_a_hold_or_a_capture_after_the_release_is_declined() -> None:
    _, (_, hold) = ask(Kind.RELEASE, Kind.HOLD)
    assert hold.decline is not None
    _, (_, _, capture) = ask(Kind.HOLD, Kind.RELEASE, Kind.CAPTURE)
    assert capture.decline is not None


@pytest.mark.parametrize(
    ("method", "hold", "capture"),
    [
        ("pm_card_visa", None, None),
        ("pm_sandbox_slow", None, None),
        ("pm_card_chargeDeclined", "PAYMENT_DECLINED", "PAYMENT_DECLINED"),
        ("pm_card_chargeDeclinedInsufficientFunds", "INSUFFICIENT_FUNDS", "PAYMENT_DECLINED"),
        ("pm_sandbox_confirmDeclined", None, "PAYMENT_DECLINED"),
    ],
)
def test_a_method_does_what_its_name_says(
    method: str, hold: str | None, capture: str | None
) -> None:
    def reason(decline: Declined | None) -> str | None:
        return None if decline is None else decline.reason

    _, (first, second) = ask(Kind.HOLD, Kind.CAPTURE, method=method)
    assert (hold, capture) == (reason(first.decline), reason(second.decline))


def test_an_id_that_is_asked_about_with_other_content_is_misused() -> None:
    ledger, _ = ask(Kind.HOLD)
    euros = Money(currency_code="EUR", minor_units=100)
    for kind in (Kind.HOLD, Kind.CAPTURE):
        other = Question(payment_id=ID, kind=kind, amount=euros, method="pm_card_visa", time_us=9)
        with pytest.raises(Misused):
            enter(ledger, other)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(1, 10**18))))
def test_payments_are_added_up_apart_from_one_another(rows: list[tuple[str, int]]) -> None:
    entries = [
        Entry(
            payment_id=payment_id,
            kind=Kind.HOLD,
            amount=Money(currency_code="USD", minor_units=units),
            method="pm_card_visa",
            decline=None,
            release=Release.NOTHING,
            time_us=1,
        )
        for payment_id, units in rows
    ]
    for payment_id, moved in balances(entries).items():
        assert sum(units for owner, units in rows if owner == payment_id) == moved.held
