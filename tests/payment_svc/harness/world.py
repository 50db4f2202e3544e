"""A payment and the gateway's ledger as a world without time or threads, for hypothesis to shake.

Every message can be doubled, delayed, overtaken and lost, and the service can crash at any moment;
only what is stored survives. What it checks after every step are the invariants of the service:

- the gateway does each thing at most once for an id;
- a payment that asks nothing says exactly what the ledger says: HELD is held, CONFIRMED is taken,
  DECLINED and CANCELLED are nothing;
- CANCELLED and DECLINED are for good, and so is the wish to cancel.

The transitions are handed in, so that planted bugs can be put in the place of the real ones.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from payment_svc import domain
from payment_svc.domain import (
    Answer,
    Approved,
    Asking,
    Content,
    Money,
    Payment,
    Refused,
    Released,
    Stage,
    State,
    Unknown,
)
from payment_svc.sandbox.ledger import METHODS, Balance, Entry, Kind, Question, balances, enter

ID = "pay_1"
AMOUNT = 100
FINAL = frozenset({State.CANCELLED, State.DECLINED})

Change = Callable[[Payment | None, int], Payment]


@dataclass(frozen=True, kw_only=True)
class Transitions:
    """What is done to the stored payment. The real ones, unless a bug is planted."""

    create: Callable[[Payment | None, str, Content, int], Payment] = domain.create
    confirm: Callable[[Payment | None, str, int], Payment] = domain.confirm
    cancel: Callable[[Payment | None, str, int], Payment] = domain.cancel
    settle: Callable[[Payment | None, Asking, Answer, int], Payment] = domain.settle


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question on its way to the gateway."""

    asking: Asking
    content: Content


class World(RuleBasedStateMachine):
    """One payment id, its callers, the gateway and everything between them."""

    transitions = Transitions()

    def __init__(self) -> None:
        super().__init__()
        self.begin()

    def begin(self) -> None:
        self.now_us = 0
        self.payment: Payment | None = None
        self.ledger: dict[Kind, Entry] = {}
        self.questions: list[Asked] = []
        self.answers: list[tuple[Asking, Answer]] = []
        self.cancelled_at_version: int | None = None

    # What callers do.

    @rule(
        method=st.sampled_from(["pm_card_visa"] * 4 + sorted(METHODS)),
        units=st.sampled_from([AMOUNT, AMOUNT, AMOUNT, 0]),
        again=st.booleans(),
    )
    def create(self, method: str, units: int, again: bool) -> None:
        amount = Money(currency_code="USD", minor_units=units)
        content = Content(order_id="ord_1", amount=amount, payment_method=method)
        if again and self.payment is not None and self.payment.content is not None:
            content = self.payment.content
        self.change(lambda it, now_us: self.transitions.create(it, ID, content, now_us))

    @rule()
    def confirm(self) -> None:
        self.change(lambda it, now_us: self.transitions.confirm(it, ID, now_us))

    @rule()
    def cancel(self) -> None:
        assert self.change(lambda it, now_us: self.transitions.cancel(it, ID, now_us))
        assert self.payment is not None, "a cancel leaves a tombstone at the least"
        self.cancelled_at_version = self.payment.version

    # What the service and the network do.

    @precondition(lambda self: self.payment is not None and self.payment.asking is not None)
    @rule(delayed=st.booleans())
    def ask(self, delayed: bool) -> None:
        """The asker, the settling loop, or another replica: maybe all of them."""
        assert self.payment is not None
        asking, content = self.payment.asking, self.payment.content
        assert asking is not None
        assert content is not None
        question = Asked(asking=asking, content=content)
        if delayed:
            self.questions.append(question)
        else:
            self.answers.append((asking, self.hear(question)))

    @precondition(lambda self: self.questions)
    @rule(data=st.data(), doubled=st.booleans())
    def gateway_hears(self, data: st.DataObject, doubled: bool) -> None:
        place = data.draw(st.integers(0, len(self.questions) - 1))
        question = self.questions[place]
        if not doubled:
            del self.questions[place]
        self.answers.append((question.asking, self.hear(question)))

    @precondition(lambda self: self.answers)
    @rule(data=st.data(), doubled=st.booleans())
    def answer_arrives(self, data: st.DataObject, doubled: bool) -> None:
        place = data.draw(st.integers(0, len(self.answers) - 1))
        asking, answer = self.answers[place]
        if not doubled:
            del self.answers[place]
        self.change(lambda it, now_us: self.transitions.settle(it, asking, answer, now_us))

    @precondition(lambda self: self.payment is not None and self.payment.asking is not None)
    @rule(crash=st.booleans())
    def trouble(self, crash: bool) -> None:
        """A crash loses what is on its way back; what is on its way there may still arrive."""
        assert self.payment is not None
        asking = self.payment.asking
        assert asking is not None
        if crash:
            self.answers.clear()
        else:
            unknown = Unknown(ask_again_us=self.now_us + 1)
            self.change(lambda it, now_us: self.transitions.settle(it, asking, unknown, now_us))

    # What must hold.

    @invariant()
    def what_is_stored_is_what_the_ledger_says(self) -> None:
        if self.payment is None:
            assert {} == self.ledger
            return
        moved = self.moved()
        content = self.payment.content
        units = 0 if content is None else content.amount.minor_units
        if self.payment.asking is None:
            match self.payment.state:
                case State.HELD:
                    assert (units, 0) == (moved.on_hold, moved.taken)
                case State.CONFIRMED:
                    assert (0, units) == (moved.on_hold, moved.taken)
                case _:
                    assert (0, 0) == (moved.on_hold, moved.taken)

    @invariant()
    def a_wish_to_cancel_is_never_forgotten(self) -> None:
        if self.cancelled_at_version is not None:
            assert self.payment is not None
            assert self.payment.cancel_requested or self.payment.stage is Stage.DECLINED

    @precondition(lambda self: self.payment is not None and self.payment.state in FINAL)
    @rule()
    def next_payment(self) -> None:
        """Nothing can happen to this one any more: on with another."""
        self.finish()
        self.begin()

    def teardown(self) -> None:
        self.finish()

    def finish(self) -> None:
        """However it stands, the settling loop brings it to an end, and then all is in order."""
        asks = 0
        while self.payment is not None and (asking := self.payment.asking) is not None:
            assert self.payment.content is not None
            answer = self.hear(Asked(asking=asking, content=self.payment.content))
            self.change(lambda it, now_us: self.transitions.settle(it, asking, answer, now_us))  # noqa: B023 - called at once
            self.what_is_stored_is_what_the_ledger_says()
            asks += 1
            assert asks <= 2, "a hold or a capture, then at the most a release"
        if self.cancelled_at_version is not None:
            assert self.payment is not None
            assert self.payment.state in FINAL
            assert (0, 0) == (self.moved().on_hold, self.moved().taken)

    # How it is done.

    def change(self, transition: Change) -> bool:
        """One transaction. False: it was refused."""
        self.now_us += 1
        before = self.payment
        try:
            after = transition(before, self.now_us)
        except Refused:
            return False
        if before is not None and after is not before:
            assert before.version + 1 == after.version
            assert before.state not in FINAL, "it was final"
        self.payment = after
        return True

    def hear(self, asked: Asked) -> Answer:
        """The gateway is asked: the real ledger's rules."""
        kind = Kind(asked.asking.value)
        question = Question(
            payment_id=ID,
            kind=kind,
            amount=None if kind is Kind.RELEASE else asked.content.amount,
            method=asked.content.payment_method if kind is Kind.HOLD else "",
            time_us=self.now_us,
        )
        entry = enter(self.ledger, question)
        assert self.ledger.setdefault(kind, entry) == replace(entry), "a repeat had an effect"
        if kind is Kind.RELEASE:
            return Released(release=entry.release)
        return entry.decline or Approved()

    def moved(self) -> Balance:
        """What the ledger says."""
        nothing = Balance(held=0, captured=0, released=0)
        return balances(self.ledger.values()).get(ID, nothing)
