"""A payment, and everything that can happen to it.

Invariant: a payment moves only along `MOVES`, and it says what the gateway is being asked *before*
anybody asks it: `asking` is set by the transition that wants the effect, and cleared by the one
that knows the answer. So whatever a crash leaves behind, the payment names the one question that
may have been put to the gateway.

It must never ask anybody anything: no gateway, no clock, no database. Whoever calls brings the time
and the answer. A transition that changes nothing returns the very payment it was given.
"""

import re
import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple, assert_never

from chassis.record import record, replace

DECLINE_MESSAGE_LENGTH_MAX: Final = 500
_REASON: Final = re.compile(r"[A-Z][A-Z0-9_]{0,62}")

# How long a question is left to the process that stored it before a settling loop takes it for
# forgotten. Longer than one ask may take, or another replica's loop would ask at the same time.
ASK_LEASE_US: Final = 60_000_000


class State(StrEnum):
    """Where a payment is in its life, as its callers see it."""

    PENDING = "PENDING"
    HELD = "HELD"
    CONFIRMED = "CONFIRMED"
    DECLINED = "DECLINED"
    CANCELLED = "CANCELLED"


class Asking(StrEnum):
    """What the gateway is being asked and has not answered yet."""

    HOLD = "HOLD"
    CAPTURE = "CAPTURE"
    RELEASE = "RELEASE"


class Release(StrEnum):
    """What became of the money of a cancelled payment."""

    NOTHING = "NOTHING"
    VOIDED = "VOIDED"
    REFUNDED = "REFUNDED"


class Stage(StrEnum):
    """Where a payment really is: its state, what is being asked, whether somebody wants it gone."""

    HOLDING = "HOLDING"
    HOLDING_UNWANTED = "HOLDING_UNWANTED"
    HELD = "HELD"
    CAPTURING = "CAPTURING"
    CAPTURING_UNWANTED = "CAPTURING_UNWANTED"
    CAPTURE_DECLINED = "CAPTURE_DECLINED"
    CONFIRMED = "CONFIRMED"
    VOIDING = "VOIDING"
    REFUNDING = "REFUNDING"
    DECLINED = "DECLINED"
    CANCELLED = "CANCELLED"


class Event(StrEnum):
    """What happens to a payment: three requests of its callers, three answers of the gateway."""

    CREATE = "CREATE"
    CONFIRM = "CONFIRM"
    CANCEL = "CANCEL"
    APPROVED = "APPROVED"
    DECLINED = "DECLINED"
    RELEASED = "RELEASED"


class Refusal(StrEnum):
    """Why a request is turned away with nothing changed."""

    NOT_FOUND = "NOT_FOUND"
    IN_PROGRESS = "IN_PROGRESS"
    DECLINED = "DECLINED"
    ALREADY_CANCELLED = "ALREADY_CANCELLED"
    ID_REUSED = "ID_REUSED"


class Facets(NamedTuple):
    """The three things that a stage says at once."""

    state: State
    asking: Asking | None
    cancel_requested: bool


FACETS: Final[Mapping[Stage, Facets]] = MappingProxyType(
    {
        Stage.HOLDING: Facets(State.PENDING, Asking.HOLD, False),
        Stage.HOLDING_UNWANTED: Facets(State.PENDING, Asking.HOLD, True),
        Stage.HELD: Facets(State.HELD, None, False),
        Stage.CAPTURING: Facets(State.HELD, Asking.CAPTURE, False),
        Stage.CAPTURING_UNWANTED: Facets(State.HELD, Asking.CAPTURE, True),
        Stage.CAPTURE_DECLINED: Facets(State.HELD, None, False),
        Stage.CONFIRMED: Facets(State.CONFIRMED, None, False),
        Stage.VOIDING: Facets(State.HELD, Asking.RELEASE, True),
        Stage.REFUNDING: Facets(State.CONFIRMED, Asking.RELEASE, True),
        Stage.DECLINED: Facets(State.DECLINED, None, False),
        Stage.CANCELLED: Facets(State.CANCELLED, None, True),
    }
)

# (where it is, what happens) → where it goes, or why not. None is an id never seen; the same stage
# again means that nothing changes. A request can come at any stage, an answer only where its
# question is being asked: any other pair is not in the table and cannot happen.
MOVES: Final[Mapping[tuple[Stage | None, Event], Stage | Refusal]] = MappingProxyType(
    {
        (None, Event.CREATE): Stage.HOLDING,
        (None, Event.CONFIRM): Refusal.NOT_FOUND,
        (None, Event.CANCEL): Stage.CANCELLED,
        (Stage.HOLDING, Event.CREATE): Stage.HOLDING,
        (Stage.HOLDING, Event.CONFIRM): Refusal.IN_PROGRESS,
        (Stage.HOLDING, Event.CANCEL): Stage.HOLDING_UNWANTED,
        (Stage.HOLDING, Event.APPROVED): Stage.HELD,
        (Stage.HOLDING, Event.DECLINED): Stage.DECLINED,
        (Stage.HOLDING_UNWANTED, Event.CREATE): Refusal.ALREADY_CANCELLED,
        (Stage.HOLDING_UNWANTED, Event.CONFIRM): Refusal.ALREADY_CANCELLED,
        (Stage.HOLDING_UNWANTED, Event.CANCEL): Stage.HOLDING_UNWANTED,
        (Stage.HOLDING_UNWANTED, Event.APPROVED): Stage.VOIDING,
        (Stage.HOLDING_UNWANTED, Event.DECLINED): Stage.DECLINED,
        (Stage.HELD, Event.CREATE): Stage.HELD,
        (Stage.HELD, Event.CONFIRM): Stage.CAPTURING,
        (Stage.HELD, Event.CANCEL): Stage.VOIDING,
        (Stage.CAPTURING, Event.CREATE): Stage.CAPTURING,
        (Stage.CAPTURING, Event.CONFIRM): Stage.CAPTURING,
        (Stage.CAPTURING, Event.CANCEL): Stage.CAPTURING_UNWANTED,
        (Stage.CAPTURING, Event.APPROVED): Stage.CONFIRMED,
        (Stage.CAPTURING, Event.DECLINED): Stage.CAPTURE_DECLINED,
        (Stage.CAPTURING_UNWANTED, Event.CREATE): Refusal.ALREADY_CANCELLED,
        (Stage.CAPTURING_UNWANTED, Event.CONFIRM): Refusal.ALREADY_CANCELLED,
        (Stage.CAPTURING_UNWANTED, Event.CANCEL): Stage.CAPTURING_UNWANTED,
        (Stage.CAPTURING_UNWANTED, Event.APPROVED): Stage.REFUNDING,
        (Stage.CAPTURING_UNWANTED, Event.DECLINED): Stage.VOIDING,
        (Stage.CAPTURE_DECLINED, Event.CREATE): Stage.CAPTURE_DECLINED,
        (Stage.CAPTURE_DECLINED, Event.CONFIRM): Refusal.DECLINED,
        (Stage.CAPTURE_DECLINED, Event.CANCEL): Stage.VOIDING,
        (Stage.CONFIRMED, Event.CREATE): Stage.CONFIRMED,
        (Stage.CONFIRMED, Event.CONFIRM): Stage.CONFIRMED,
        (Stage.CONFIRMED, Event.CANCEL): Stage.REFUNDING,
        (Stage.VOIDING, Event.CREATE): Refusal.ALREADY_CANCELLED,
        (Stage.VOIDING, Event.CONFIRM): Refusal.ALREADY_CANCELLED,
        (Stage.VOIDING, Event.CANCEL): Stage.VOIDING,
        (Stage.VOIDING, Event.RELEASED): Stage.CANCELLED,
        (Stage.REFUNDING, Event.CREATE): Refusal.ALREADY_CANCELLED,
        (Stage.REFUNDING, Event.CONFIRM): Refusal.ALREADY_CANCELLED,
        (Stage.REFUNDING, Event.CANCEL): Stage.REFUNDING,
        (Stage.REFUNDING, Event.RELEASED): Stage.CANCELLED,
        (Stage.DECLINED, Event.CREATE): Refusal.DECLINED,
        (Stage.DECLINED, Event.CONFIRM): Refusal.DECLINED,
        (Stage.DECLINED, Event.CANCEL): Stage.DECLINED,
        (Stage.CANCELLED, Event.CREATE): Refusal.ALREADY_CANCELLED,
        (Stage.CANCELLED, Event.CONFIRM): Refusal.ALREADY_CANCELLED,
        (Stage.CANCELLED, Event.CANCEL): Stage.CANCELLED,
    }
)


@record
class Money:
    """An amount, in the currency's minor units (for example cents)."""

    currency_code: str
    minor_units: int


@record
class Content:
    """What a payment is for. Two Creates of one id are the same when this is equal."""

    order_id: str
    amount: Money
    payment_method: str


@record
class Approved:
    """The gateway did what it was asked."""


@record
class Declined:
    """The gateway says no, for good. `reason` is UPPER_SNAKE, `message` a sentence for people."""

    reason: str
    message: str


@record
class Released:
    """The gateway gave back whatever there was; `release` says what that was."""

    release: Release


@record
class Unknown:
    """Nobody knows what the gateway did. It is to be asked again at `ask_again_us`."""

    ask_again_us: int


Answer = Approved | Declined | Released | Unknown


@record
class Payment:
    """One payment. `content` is None for an id that was cancelled before any Create came for it.

    `ask_attempts` counts the asks of the present question that ended unknown; `ask_due_us` is when
    the settling loop may ask it. Both mean something only while something is being asked.
    """

    payment_id: str
    content: Content | None
    stage: Stage
    decline: Declined | None = None
    release: Release = Release.NOTHING
    ask_attempts: int = 0
    ask_due_us: int = 0
    create_time_us: int
    update_time_us: int
    version: int

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return FACETS[self.stage].state

    @property
    def asking(self) -> Asking | None:
        """What the gateway is being asked."""
        return FACETS[self.stage].asking

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody wants it gone, or it is."""
        return FACETS[self.stage].cancel_requested


class Refused(Exception):  # noqa: N818 - named by what it says, as every fault here
    """A request is turned away; nothing changed. `decline` is the gateway's own refusal, if any."""

    def __init__(self, refusal: Refusal, payment_id: str, decline: Declined | None = None) -> None:
        super().__init__(refusal, payment_id)
        self.refusal = refusal
        self.payment_id = payment_id
        self.decline = decline


class IllegalMove(Exception):  # noqa: N818 - same
    """A defect: something happened to a payment that cannot happen at its stage."""


def stage_of(facets: Facets, *, declined: bool) -> Stage:
    """The stage that these facets say; `declined`: a decline is stored with them.

    Raises:
        IllegalMove: No stage says this.
    """
    for stage, its in FACETS.items():
        if its == facets and (stage is not Stage.HELD or not declined):
            return stage
    raise IllegalMove(f"no stage is {facets}")


def create(payment: Payment | None, payment_id: str, content: Content, now_us: int) -> Payment:
    """Wants an amount held.

    Raises:
        Refused: ALREADY_CANCELLED, ID_REUSED or DECLINED.
    """
    target = _target(payment, Event.CREATE)
    if payment is not None and payment.content != content:
        target = target if target is Refusal.ALREADY_CANCELLED else Refusal.ID_REUSED
    return _go(payment or _unborn(payment_id, content, now_us), target, now_us)


def confirm(payment: Payment | None, payment_id: str, now_us: int) -> Payment:
    """Wants the amount that is held taken.

    Raises:
        Refused: NOT_FOUND, IN_PROGRESS, DECLINED or ALREADY_CANCELLED.
    """
    target = _target(payment, Event.CONFIRM)
    return _go(payment or _unborn(payment_id, None, now_us), target, now_us)


def cancel(payment: Payment | None, payment_id: str, now_us: int) -> Payment:
    """Wants the payment gone, whatever its state. Never refused.

    An id never seen becomes a tombstone. While a hold or a capture is being asked only the wish is
    stored: it is carried out when the answer is known.
    """
    target = _target(payment, Event.CANCEL)
    assert isinstance(target, Stage), "a cancel succeeds for every state"
    return _go(payment or _unborn(payment_id, None, now_us), target, now_us)


def settle(payment: Payment | None, asked: Asking, answer: Answer, now_us: int) -> Payment:
    """Stores the answer to `asked`. One to what is no longer being asked changes nothing.

    Raises:
        IllegalMove: The answer is none to this question, or the payment is gone.
    """
    if payment is None:
        raise IllegalMove(f"{asked} was asked for a payment that is not there")
    if payment.asking is not asked:
        return payment
    match answer:
        case Unknown(ask_again_us=ask_again_us):
            # Nothing that a caller sees has changed, so update_time_us stays.
            return replace(
                payment,
                ask_attempts=payment.ask_attempts + 1,
                ask_due_us=ask_again_us,
                version=payment.version + 1,
            )
        case Approved():
            return _go(payment, _target(payment, Event.APPROVED), now_us)
        case Declined():
            noted = replace(payment, decline=_bounded(answer))
            return _go(noted, _target(payment, Event.DECLINED), now_us)
        case Released(release=release):
            noted = replace(payment, release=release)
            return _go(noted, _target(payment, Event.RELEASED), now_us)
        case _ as never:
            assert_never(never)


def _unborn(payment_id: str, content: Content | None, now_us: int) -> Payment:
    """What a first transition starts from: version 0, never stored, its stage says nothing."""
    return Payment(
        payment_id=payment_id,
        content=content,
        stage=Stage.CANCELLED,
        create_time_us=now_us,
        update_time_us=now_us,
        version=0,
    )


def _target(payment: Payment | None, event: Event) -> Stage | Refusal:
    stage = None if payment is None else payment.stage
    target = MOVES.get((stage, event))
    if target is None:
        raise IllegalMove(f"{event} cannot happen to a payment that is {stage}")
    return target


def _go(payment: Payment, target: Stage | Refusal, now_us: int) -> Payment:
    if isinstance(target, Refusal):
        declined = target is Refusal.DECLINED
        raise Refused(target, payment.payment_id, payment.decline if declined else None)
    stays = target is payment.stage and payment.version > 0
    return payment if stays else _arrive(payment, target, now_us)


def _arrive(payment: Payment, stage: Stage, now_us: int) -> Payment:
    """The payment at its next stage. Where there is nothing to pay nobody is asked: it is a yes."""
    if payment.content is not None and payment.content.amount.minor_units == 0:
        while (asking := FACETS[stage].asking) is not None:
            yes = Event.RELEASED if asking is Asking.RELEASE else Event.APPROVED
            target = MOVES[stage, yes]
            assert isinstance(target, Stage)
            stage = target
    asking = FACETS[stage].asking
    return replace(
        payment,
        stage=stage,
        ask_attempts=0,
        ask_due_us=0 if asking is None else now_us + ASK_LEASE_US,
        # The wall clock of another process may lag: time never goes back in what is stored.
        update_time_us=max(now_us, payment.update_time_us),
        version=payment.version + 1,
    )


def _bounded(decline: Declined) -> Declined:
    """What the gateway said, made safe to store and to show: it is text from outside."""
    well_formed = _REASON.fullmatch(decline.reason)
    message = "".join(
        " " if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} else character
        for character in decline.message[:DECLINE_MESSAGE_LENGTH_MAX]
    )
    reason = decline.reason if well_formed else "PAYMENT_DECLINED"
    return Declined(reason=reason, message=message.strip())
