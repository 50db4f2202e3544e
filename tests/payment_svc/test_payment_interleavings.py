"""Hypothesis drives the real service, with its database and its ledger, through random histories.

Callers come, leave and come again; the gateway is held up, fails and answers; the service crashes
and starts again. At the end every gate is opened, the settling loop does its work, and the payments
are compared with the ledger.
"""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from chassis import faults
from payment_svc.domain import Content, Money, Payment, Refusal, Refused, State
from payment_svc.sandbox.ledger import METHODS, Kind
from tests.payment_svc.harness.clock import ManualClock
from tests.payment_svc.harness.desk import AMOUNT, Desk, files
from tests.payment_svc.harness.gates import Gate, Way

IDS = ("pay_1", "pay_2")
FINAL = frozenset({State.CANCELLED, State.DECLINED})

_ids = st.sampled_from(IDS)
_places = st.tuples(_ids, st.sampled_from(Kind), st.sampled_from(Way))


class Interleavings(RuleBasedStateMachine):
    """Two payments, their callers, and a gateway that can be stopped anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.runner = asyncio.Runner()
        # It stands still: only what a rule says is asked again.
        self.desk = Desk(files(Path(self.folder.name)), clock=ManualClock(), serve=False)
        self.calls: list[asyncio.Task[None]] = []
        self.gates: list[Gate] = []
        self.wishes: set[str] = set()
        self.confirmed: set[str] = set()
        self.method = dict.fromkeys(IDS, "pm_card_visa")
        self.run(self.desk.restart)

    def run(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def paced() -> None:
            await step()
            # What can go on goes on meanwhile: a question, its entry in the ledger, its answer.
            for _ in range(3):
                await self.flush()

        self.runner.run(paced())

    async def flush(self) -> None:
        """Waits until everything that was to be written before is written."""
        await self.desk.payments.cancel("pay_flush")
        await self.desk.gateway.release("pay_flush")

    def call(self, request: Callable[[], Coroutine[Any, Any, Payment]], payment_id: str) -> None:
        """A caller that waits for its answer, however long."""

        async def answered() -> None:
            try:
                payment = await request()
            except (Refused, faults.Unavailable):
                return
            if payment.state is State.CONFIRMED:
                self.confirmed.add(payment_id)

        async def begin() -> None:
            self.calls.append(asyncio.create_task(answered()))

        self.run(begin)

    @rule(payment_id=_ids, method=st.sampled_from(["pm_card_visa"] * 4 + sorted(METHODS)))
    def create(self, payment_id: str, method: str) -> None:
        content = Content(
            order_id="ord_1",
            amount=Money(currency_code="USD", minor_units=AMOUNT),
            # The clock stands still, so a slow one would never answer.
            payment_method="pm_card_visa" if METHODS[method].slow else method,
        )
        self.call(lambda: self.desk.payments.create(payment_id, content), payment_id)

    @rule(payment_id=_ids)
    def confirm(self, payment_id: str) -> None:
        self.call(lambda: self.desk.payments.confirm(payment_id), payment_id)

    @rule(payment_id=_ids)
    def cancel(self, payment_id: str) -> None:
        async def cancelled() -> Payment:
            try:
                payment = await self.desk.payments.cancel(payment_id)
            except Refused as refused:
                if refused.refusal is Refusal.IN_PROGRESS:
                    self.wishes.add(payment_id)
                raise
            self.wishes.add(payment_id)
            moved = self.desk.balance(payment_id)
            assert (0, 0) == (moved.on_hold, moved.taken), "it was told to be undone"
            return payment

        self.call(cancelled, payment_id)

    @rule(place=_places)
    def shut_a_gate(self, place: tuple[str, Kind, Way]) -> None:
        async def shut() -> None:
            self.gates.append(self.desk.gateway.shut(*place))

        self.run(shut)

    @rule(data=st.data())
    def open_a_gate(self, data: st.DataObject) -> None:
        if self.gates:
            gate = self.gates.pop(data.draw(st.integers(0, len(self.gates) - 1)))

            async def open_it() -> None:
                gate.open()

            self.run(open_it)

    @rule(place=_places)
    def have_the_gateway_fail(self, place: tuple[str, Kind, Way]) -> None:
        self.desk.gateway.fail(*place)

    @rule()
    def ask_again(self) -> None:
        self.run(lambda: self.desk.servicer._settler.walk(due_by_us=2**63 - 1))

    @rule()
    def callers_leave(self) -> None:
        async def leave() -> None:
            for call in self.calls:
                call.cancel()
            await self.answers()

        self.run(leave)

    @rule()
    def crash(self) -> None:
        async def crash_and_restart() -> None:
            await self.desk.crash()
            for call in self.calls:
                call.cancel()
            await self.answers()
            self.gates.clear()
            await self.desk.restart()

        self.run(crash_and_restart)

    async def answers(self) -> None:
        """Waits for every caller; whatever it was told, nothing was broken."""
        outcomes = await asyncio.gather(*self.calls, return_exceptions=True)
        self.calls.clear()
        broken = [it for it in outcomes if it and not isinstance(it, asyncio.CancelledError)]
        assert [] == broken

    def teardown(self) -> None:
        async def end() -> None:
            self.desk.gateway.open_all()
            await self.answers()
            await self.flush()
            await self.desk.until_nothing_is_asked()
            for payment_id in IDS:
                self.check(payment_id, await self.desk.payments._read(payment_id))

        try:
            self.run(end)
        finally:
            self.runner.run(self.desk.crash())
            self.runner.close()
            self.folder.cleanup()

    def check(self, payment_id: str, payment: Payment | None) -> None:
        moved = self.desk.balance(payment_id)
        with self.desk.ledger() as view:
            kinds = [entry.kind for entry in view.entries(payment_id)]
        assert len(kinds) == len(set(kinds)), "one effect at the most"
        if payment is None:
            assert [] == kinds
            assert payment_id not in self.wishes
            return
        assert payment.asking is None
        expected = {State.HELD: (AMOUNT, 0), State.CONFIRMED: (0, AMOUNT)}
        assert expected.get(payment.state, (0, 0)) == (moved.on_hold, moved.taken)
        if payment_id in self.wishes:
            assert payment.state in FINAL
        if payment_id in self.confirmed:
            assert Kind.CAPTURE in kinds


def test_in_whatever_order_things_happen_the_payments_and_the_ledger_agree() -> None:
    run_state_machine_as_test(
        Interleavings,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
