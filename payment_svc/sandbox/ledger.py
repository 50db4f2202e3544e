"""What the sandbox gateway decides and writes down: an append-only ledger, one entry a question.

Invariant: a payment id has at most one entry of each kind, an entry never changes, and the answer
to a question is read from its entry. So a repeat gets the first answer and has no second effect.

It must never know the payment service's own records: the ledger is the outside world's word, and
the two are compared. Pure: no clock, no database.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from payment_svc.domain import Declined, Money, Release


class Kind(StrEnum):
    """What was asked."""

    HOLD = "HOLD"
    CAPTURE = "CAPTURE"
    RELEASE = "RELEASE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How a payment method of the sandbox behaves. A slow one answers a hold late."""

    hold: Declined | None = None
    capture: Declined | None = None
    slow: bool = False


_DECLINED: Final = Declined(reason="PAYMENT_DECLINED", message="the card was declined")
_TOO_POOR: Final = Declined(reason="INSUFFICIENT_FUNDS", message="the card has insufficient funds")
_NOT_TAKEN: Final = Declined(
    reason="PAYMENT_DECLINED", message="the amount was held, but taking it was declined"
)
_RELEASED_BEFORE: Final = Declined(
    reason="PAYMENT_DECLINED", message="this payment was released before"
)
_NOTHING_HELD: Final = Declined(
    reason="PAYMENT_DECLINED", message="nothing is held under this payment"
)

# The card names are those of Stripe's public test methods.
METHODS: Final[Mapping[str, Method]] = MappingProxyType(
    {
        "pm_card_visa": Method(),
        "pm_card_chargeDeclined": Method(hold=_DECLINED),
        "pm_card_chargeDeclinedInsufficientFunds": Method(hold=_TOO_POOR),
        "pm_sandbox_confirmDeclined": Method(capture=_NOT_TAKEN),
        "pm_sandbox_slow": Method(slow=True),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question to the gateway. `amount` and `method` as far as its kind has them."""

    payment_id: str
    kind: Kind
    amount: Money | None
    method: str
    time_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What was asked, when it was asked first, and what came of it.

    `amount` is what moved, had it not been declined; of a release, what was given back.
    """

    payment_id: str
    kind: Kind
    amount: Money | None
    method: str
    decline: Declined | None
    release: Release
    time_us: int


class Misused(Exception):  # noqa: N818 - not an error of the sandbox
    """A payment id was asked about again with another amount or method: the caller is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What the ledger says of one payment, in minor units: all that was ever moved."""

    held: int
    captured: int
    released: int

    @property
    def on_hold(self) -> int:
        """What is reserved now, and not taken."""
        return self.held - max(self.captured, self.released)

    @property
    def taken(self) -> int:
        """What was taken and not given back."""
        return max(0, self.captured - self.released)


def enter(entries: Mapping[Kind, Entry], question: Question) -> Entry:
    """The entry that answers `question`: the one among the payment's `entries`, or a new one.

    Raises:
        Misused: The one that is there is about another amount or method.
    """
    known = entries.get(question.kind)
    if known is None:
        match question.kind:
            case Kind.HOLD:
                return _hold(entries, question)
            case Kind.CAPTURE:
                return _capture(entries, question)
            case Kind.RELEASE:
                return _release(entries, question)
    repeats = question.kind is Kind.RELEASE or (
        (known.amount, known.method) == (question.amount, question.method)
    )
    if not repeats:
        raise Misused(f"{question.kind} of {question.payment_id} was asked with other content")
    return known


def balances(entries: Iterable[Entry]) -> dict[str, Balance]:
    """Adds up entries, by payment id."""
    moved: dict[str, dict[Kind, int]] = {}
    for entry in entries:
        of_this = moved.setdefault(entry.payment_id, dict.fromkeys(Kind, 0))
        if entry.decline is None and entry.amount is not None:
            of_this[entry.kind] += entry.amount.minor_units
    return {
        payment_id: Balance(
            held=of_this[Kind.HOLD],
            captured=of_this[Kind.CAPTURE],
            released=of_this[Kind.RELEASE],
        )
        for payment_id, of_this in moved.items()
    }


def _hold(entries: Mapping[Kind, Entry], question: Question) -> Entry:
    method = METHODS[question.method]
    return _entry(question, decline=_RELEASED_BEFORE if Kind.RELEASE in entries else method.hold)


def _capture(entries: Mapping[Kind, Entry], question: Question) -> Entry:
    hold = entries.get(Kind.HOLD)
    if hold is None or hold.decline is not None:
        return _entry(question, decline=_NOTHING_HELD)
    if hold.amount != question.amount:
        raise Misused(f"{question.payment_id} holds another amount than was to be taken")
    if Kind.RELEASE in entries:
        return _entry(question, decline=_RELEASED_BEFORE)
    return _entry(question, decline=METHODS[hold.method].capture)


def _release(entries: Mapping[Kind, Entry], question: Question) -> Entry:
    hold, capture = entries.get(Kind.HOLD), entries.get(Kind.CAPTURE)
    if hold is None or hold.decline is not None:
        return _entry(question, release=Release.NOTHING)
    taken = capture is not None and capture.decline is None
    release = Release.REFUNDED if taken else Release.VOIDED
    return _entry(question, release=release, amount=hold.amount)


def _entry(
    question: Question,
    *,
    decline: Declined | None = None,
    release: Release = Release.NOTHING,
    amount: Money | None = None,
) -> Entry:
    return Entry(
        payment_id=question.payment_id,
        kind=question.kind,
        amount=amount or question.amount,
        method=question.method,
        decline=decline,
        release=release,
        time_us=question.time_us,
    )
