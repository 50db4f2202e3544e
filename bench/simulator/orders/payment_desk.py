"""The payment service, over a simulated store and a simulated gateway.

Invariant: the use cases, the asks and the settling loop are the service's own (`payments`, `asks`,
`settler`), and the gateway answers from its own ledger (`sandbox.ledger`); here are only the store
under the one and the wire to the other. Must never: answer OK for a state that was not asked for.
"""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Final, NoReturn, cast

from bench.simulator.world import Down, Ground
from chassis import faults
from chassis.entities import Removal, Transition
from chassis.listings import Listing
from orchestrator.action import ActionCall, ActionReply
from orchestrator.order_process import order_id_of, payment_id_of
from orchestrator.saga.code import Code
from payment_svc import domain
from payment_svc.domain import (
    Approved,
    Content,
    Declined,
    Money,
    Payment,
    Refusal,
    Refused,
    Release,
    State,
)
from payment_svc.gateway import GatewayUnavailable
from payment_svc.payments import Payments
from payment_svc.sandbox import ledger
from payment_svc.sandbox.ledger import METHODS, Entry, Kind, Question
from payment_svc.settler import Settler

PAYMENT: Final = "payment"
GATEWAY_TIMEOUT_SECONDS: Final = 5.0
SETTLE_INTERVAL_SECONDS: Final = 5.0

REFUSALS: Final = MappingProxyType(
    {
        Refusal.NOT_FOUND: (Code.NOT_FOUND, "PAYMENT_NOT_FOUND"),
        Refusal.IN_PROGRESS: (Code.ABORTED, "IN_PROGRESS"),
        Refusal.DECLINED: (Code.FAILED_PRECONDITION, "PAYMENT_DECLINED"),
        Refusal.ALREADY_CANCELLED: (Code.FAILED_PRECONDITION, "ALREADY_CANCELLED"),
        Refusal.ID_REUSED: (Code.ALREADY_EXISTS, "PAYMENT_ID_REUSED"),
    }
)
_OK: Final = ActionReply(code=Code.OK)
_WANTED: Final = MappingProxyType(
    {
        "process_payment": frozenset({State.HELD, State.CONFIRMED}),
        "confirm_payment": frozenset({State.CONFIRMED}),
        "cancel_payment": frozenset({State.CANCELLED, State.DECLINED}),
    }
)


class SimulatedRecords:
    """Payments in a dictionary; each change is a commit that can be disturbed."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.rows: dict[str, Payment] = {}
        self.journal: list[tuple[str, str]] = []
        """The states that were committed, by id, in order."""

    async def start(self) -> None:
        """There is nothing to start."""

    async def close(self) -> None:
        """There is nothing to end."""

    async def failed(self) -> None:
        """It never fails."""

    async def change(self, payment_id: str, transition: Transition[Payment], /) -> Payment:
        """Changes a payment."""
        before = self.rows.get(payment_id)
        after = transition(before)
        if after is not before:
            self._commit(payment_id, after)
        return after

    async def remove(self, payment_id: str, removal: Removal[Payment], /) -> NoReturn:
        """Nobody purges here."""
        raise AssertionError((payment_id, removal))

    async def read(self, payment_id: str) -> Payment | None:
        """Reads a payment."""
        return self.rows.get(payment_id)

    async def page(self, listing: Listing) -> NoReturn:
        """Nobody asks for pages here."""
        raise AssertionError(listing)

    async def half_asked(self, *, due_by_us: int, after: str, limit: int) -> Sequence[str]:
        """Reads what is half asked."""
        return sorted(
            payment_id
            for payment_id, payment in self.rows.items()
            if payment.asking is not None and payment.ask_due_us <= due_by_us and payment_id > after
        )[:limit]

    def store(self, payment_id: str, after: Payment) -> None:
        """Keeps a payment."""
        self.rows[payment_id] = after
        self.journal.append((payment_id, after.state.value))

    def _commit(self, payment_id: str, after: Payment) -> None:
        try:
            self._ground.commit(PAYMENT, lambda: self.store(payment_id, after))
        except Down:
            # Whoever waits here dies with the program; nobody may take it for an answer.
            raise faults.Unavailable("DOWN", "the program has died") from None


class SimulatedGateway:
    """The outside world: the sandbox's ledger at the other end of a wire."""

    def __init__(self, ground: Ground, records: SimulatedRecords) -> None:
        self._ground = ground
        self._records = records
        self.entries: dict[str, dict[Kind, Entry]] = {}
        self.complaints: list[str] = []

    def knows(self, method: str) -> bool:
        """Whether it is one of the sandbox's names."""
        return method in METHODS

    async def hold(self, payment_id: str, amount: Money, method: str) -> Approved | Declined:
        """Reserves an amount."""
        entry = await self._ask(payment_id, Kind.HOLD, amount, method)
        return entry.decline or Approved()

    async def capture(self, payment_id: str, amount: Money) -> Approved | Declined:
        """Takes what is held."""
        entry = await self._ask(payment_id, Kind.CAPTURE, amount, "")
        return entry.decline or Approved()

    async def release(self, payment_id: str) -> Release:
        """Gives back what is held or was taken."""
        entry = await self._ask(payment_id, Kind.RELEASE, None, "")
        return entry.release

    async def _ask(self, payment_id: str, kind: Kind, amount: Money | None, method: str) -> Entry:
        stored = self._records.rows.get(payment_id)
        if stored is None or stored.asking is None or stored.asking.value != kind.value:
            self.complaints.append(f"{kind} of {payment_id} is asked, but not stored as asked")
        question = Question(
            payment_id=payment_id,
            kind=kind,
            amount=amount,
            method=method,
            time_us=self._ground.clock.now_us(),
        )

        def effect() -> Entry:
            entries = self.entries.setdefault(payment_id, {})
            return entries.setdefault(kind, ledger.enter(entries, question))

        try:
            return await self._ground.ask(PAYMENT, kind.value, effect)
        except faults.Unavailable as fault:
            raise GatewayUnavailable(str(fault)) from fault


class PaymentDesk:
    """The service's program: what of it dies and starts again."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.records = SimulatedRecords(ground)
        self.gateway = SimulatedGateway(ground, self.records)
        self.payments: Payments | None = None

    def start(self) -> None:
        """Starts the program, with nothing in its memory."""
        self.payments = Payments(
            self.records,
            self._ground.clock,
            self.gateway,
            random=self._ground.fraction,
            gateway_timeout_seconds=GATEWAY_TIMEOUT_SECONDS,
        )
        settler = Settler(
            asks=self.payments.asks,
            records=self.records,
            clock=self._ground.clock,
            interval_seconds=SETTLE_INTERVAL_SECONDS,
        )
        self._ground.spawn(PAYMENT, settler.run())

    def die(self) -> None:
        """The program is gone, in the middle of what it was asking."""
        if self.payments is not None:
            self.payments.asks._closed = True
            for task in tuple(self.payments.asks._running.values()):
                task.cancel()

    def payment_id(self, call: ActionCall) -> str:
        """The payment that a call is about."""
        return payment_id_of(call.process_id)

    async def serve(self, call: ActionCall) -> ActionReply:
        """Answers a call."""
        assert self.payments is not None, "a program that serves was started"
        payment_id = self.payment_id(call)
        try:
            match call.action:
                case "process_payment":
                    content = _content(call)
                    payment = await self.payments.create(payment_id, content)
                    if payment.content is None or payment.content.amount != content.amount:
                        return _contradiction()
                case "confirm_payment":
                    payment = await self.payments.confirm(payment_id)
                case "cancel_payment":
                    payment = await self.payments.cancel(payment_id)
                case _:
                    raise AssertionError(f"{call.action} is not the payment service's")
        except Refused as refused:
            code, reason = REFUSALS[refused.refusal]
            return ActionReply(
                code=code, reason=reason if refused.decline is None else refused.decline.reason
            )
        return _OK if payment.state in _WANTED[call.action] else _contradiction()

    def by_hand(self, payment_id: str) -> None:
        """A person sees to it that nothing is held or taken, at the service and at the gateway."""
        now_us = self._ground.clock.now_us()
        row = domain.cancel(self.records.rows.get(payment_id), payment_id, now_us)
        entries = self.gateway.entries.setdefault(payment_id, {})
        while row.asking is not None:
            kind = Kind(row.asking.value)
            content = row.content
            assert content is not None, "a tombstone asks nothing"
            question = Question(
                payment_id=payment_id,
                kind=kind,
                amount=None if kind is Kind.RELEASE else content.amount,
                method=content.payment_method if kind is Kind.HOLD else "",
                time_us=now_us,
            )
            entry = entries.setdefault(kind, ledger.enter(entries, question))
            answer: domain.Answer = entry.decline or Approved()
            if kind is Kind.RELEASE:
                answer = domain.Released(release=entry.release)
            row = domain.settle(row, row.asking, answer, now_us)
        self.records.store(payment_id, row)

    def busy(self) -> bool:
        """Whether something is being asked."""
        return any(row.asking is not None for row in self.records.rows.values())


def _content(call: ActionCall) -> Content:
    created = cast("dict[str, Any]", call.results["create_order"])
    return Content(
        order_id=order_id_of(call.process_id),
        amount=Money(**created["total"]),
        payment_method=str(call.input["payment_method"]),
    )


def _contradiction() -> ActionReply:
    return ActionReply(code=Code.INTERNAL, reason="REPLY_CONTRADICTS")
