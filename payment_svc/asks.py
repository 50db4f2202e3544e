"""Asking the gateway: every question is put here, and its answer stored here.

Invariant: in this process a payment has at most one ask under way, and an ask is begun only for a
question that is committed. An ask belongs to nobody: whoever waits for it may leave, and it goes
on. It must never run in a caller's task, nor hold a transaction while it waits for the gateway.

What ends without an answer (trouble, too slow, a drain, a crash) leaves the payment as it is, still
asking; the next caller or the settling loop asks again. An answer that brings up another question
(a hold that is approved for a payment that nobody wants any more) has that asked at once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Protocol, assert_never

import structlog

from chassis import faults
from chassis.clock import MICROSECONDS_PER_SECOND, Clock
from chassis.entities import Transition
from payment_svc.domain import Answer, Asking, Payment, Released, Unknown, settle
from payment_svc.gateway import GatewayUnavailable, PaymentGateway

# The pause before a question is asked again doubles from the one to the other.
PAUSE_SECONDS_MIN: Final = 1.0
PAUSE_SECONDS_MAX: Final = 300.0

_log = structlog.get_logger(__name__)

Outcome = Payment | faults.Fault


class Change(Protocol):
    """Changes a payment: see `records.PaymentRecords.change`."""

    def __call__(self, payment_id: str, transition: Transition[Payment], /) -> Awaitable[Payment]:
        """The payment as it is then, committed."""
        ...


class Asks:
    """The asks under way, by payment id. Belongs to one event loop.

    Args:
        gateway: Whom to ask.
        change: Stores answers.
        read: Reads a payment.
        clock: Tells when to ask again.
        random: Draws from [0, 1), so that payments do not come back all at once.
        timeout_seconds: How long one ask may take.
        at_once_max: How many asks may be with the gateway.
        waiting_max: How many may be under way, those that wait for their turn included.
    """

    def __init__(
        self,
        *,
        gateway: PaymentGateway,
        change: Change,
        read: Callable[[str], Awaitable[Payment | None]],
        clock: Clock,
        random: Callable[[], float],
        timeout_seconds: float,
        at_once_max: int = 256,
        waiting_max: int = 4_096,
    ) -> None:
        self._gateway = gateway
        self._change = change
        self._read = read
        self._clock = clock
        self._random = random
        self._timeout_seconds = timeout_seconds
        self._turns = asyncio.Semaphore(at_once_max)
        self._waiting_max = waiting_max
        self._running: dict[str, asyncio.Task[Outcome]] = {}
        self._closed = False

    @property
    def under_way(self) -> int:
        """How many asks are under way."""
        return len(self._running)

    def admit(self) -> None:
        """Turns away what would only wait, before anything is stored for it.

        Raises:
            faults.Overloaded: Too many asks are under way.
        """
        if len(self._running) >= self._waiting_max:
            raise faults.Overloaded(
                "GATEWAY_BUSY",
                "too many payments wait for the payment gateway; ask again later",
                retry_after_seconds=PAUSE_SECONDS_MIN,
            )

    async def answered(self, payment: Payment, *, just_stored: bool) -> Payment:
        """The payment once the gateway has answered what `payment` asks.

        Joins the ask that is under way, or begins one. `just_stored` says that the caller's own
        transition brought the question up: then nobody else can have had it answered yet. Otherwise
        the payment is read again first, for it may be old.

        Raises:
            faults.Unavailable: There is no answer yet.
        """
        while True:
            task = self._running.get(payment.payment_id)
            if task is None:
                task = self._begin(payment.payment_id, payment if just_stored else None)
            # Not `await task`: a caller that is cancelled here must not take the ask with it.
            await asyncio.wait({task})
            if task.cancelled():
                raise _unavailable()
            outcome = task.result()
            if isinstance(outcome, faults.Fault):
                raise outcome
            if outcome.version > payment.version:
                return outcome
            # That was the end of an ask of the question before ours.

    def nudge(self, payment_id: str) -> bool:
        """Sees to it that what the payment asks is being asked, and waits for nothing.

        False: there is no room now. Callers that wait have half of it to themselves.
        """
        if payment_id in self._running:
            return True
        if self._closed or len(self._running) >= self._waiting_max // 2:
            return False
        self._begin(payment_id, None)
        return True

    async def drain(self, grace_seconds: float) -> None:
        """Lets the asks under way end within the grace; what is left is for the next start."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace_seconds
        if self._running:
            _log.info("asks_under_way", count=len(self._running), grace_seconds=grace_seconds)
        while self._running and (left := deadline - loop.time()) > 0:
            await asyncio.wait(set(self._running.values()), timeout=left)
        self._closed = True
        if self._running:
            _log.warning("asks_left_to_the_next_start", count=len(self._running))
        while self._running:
            tasks = set(self._running.values())
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _begin(self, payment_id: str, payment: Payment | None) -> asyncio.Task[Outcome]:
        assert payment_id not in self._running, "one ask a payment at a time"
        if self._closed or len(self._running) >= self._waiting_max:
            raise _unavailable()
        task = asyncio.create_task(self._run(payment_id, payment), name=f"ask {payment_id}")
        self._running[payment_id] = task
        # Before anybody can wait for it, so that it is off the books when the first of them wakes.
        task.add_done_callback(partial(self._ended, payment_id))
        return task

    def _ended(self, payment_id: str, task: asyncio.Task[Outcome]) -> None:
        del self._running[payment_id]
        if task.cancelled() or self._closed:
            return
        outcome = task.result()
        if isinstance(outcome, faults.Fault) or outcome.asking is None:
            return
        # Where there is no room the settling loop finds it.
        if len(self._running) < self._waiting_max:
            self._begin(payment_id, outcome)

    async def _run(self, payment_id: str, payment: Payment | None) -> Outcome:
        """One ask from its turn to its stored answer. Raises nothing: maybe nobody listens."""
        try:
            async with self._turns:
                return await self._ask(payment_id, payment)
        except faults.Fault as fault:
            return fault
        except Exception:  # noqa: BLE001 - whatever it is, it is this payment's alone; logged in full
            _log.exception("ask_failed", payment_id=payment_id)
            return faults.Defect("ASK_FAILED", "an ask ended by a defect")

    async def _ask(self, payment_id: str, payment: Payment | None) -> Payment:
        if payment is None:
            payment = await self._read(payment_id)
            if payment is None:
                raise faults.NotFound("PAYMENT_NOT_FOUND", "there is no such payment")
        asked = payment.asking
        if asked is None:
            return payment
        answer = await self._answer(payment, asked)
        now_us = self._clock.now_us()
        settled = await self._change(
            payment_id, lambda current: settle(current, asked, answer, now_us)
        )
        if settled.asking is asked:
            raise _unavailable()
        return settled

    async def _answer(self, payment: Payment, asked: Asking) -> Answer:
        """What the gateway says. Whatever it does instead of answering is: unknown."""
        about = {"payment_id": payment.payment_id, "asked": asked.value}
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._put(payment, asked)
        except GatewayUnavailable as trouble:
            _log.warning("gateway_unavailable", **about, why=str(trouble)[:500])
        except TimeoutError:
            _log.warning("gateway_too_slow", **about, timeout_seconds=self._timeout_seconds)
        except Exception:  # noqa: BLE001 - whoever wrote the gateway, the answer is not known
            _log.exception("gateway_defect", **about)
        doubled = PAUSE_SECONDS_MIN * 2.0 ** min(payment.ask_attempts, 20)
        pause_seconds = min(doubled, PAUSE_SECONDS_MAX) * (0.5 + self._random() / 2)
        return Unknown(
            ask_again_us=self._clock.now_us() + int(pause_seconds * MICROSECONDS_PER_SECOND)
        )

    async def _put(self, payment: Payment, asked: Asking) -> Answer:
        content = payment.content
        assert content is not None, "a tombstone asks nothing"
        match asked:
            case Asking.HOLD:
                return await self._gateway.hold(
                    payment.payment_id, content.amount, content.payment_method
                )
            case Asking.CAPTURE:
                return await self._gateway.capture(payment.payment_id, content.amount)
            case Asking.RELEASE:
                return Released(release=await self._gateway.release(payment.payment_id))
            case _ as never:
                assert_never(never)


def _unavailable() -> faults.Unavailable:
    return faults.Unavailable(
        "GATEWAY_UNAVAILABLE",
        "the payment gateway's answer is not known yet; the service goes on asking, ask again",
    )
