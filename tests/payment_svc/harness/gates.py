"""A gateway that can be stopped at every point, in front of a real one.

Each question passes two gates: on its way to the gateway (nothing has happened yet) and on the way
back (the gateway has done it and written it down, and nobody knows). A gate that no test has shut
is open.
"""

import asyncio
from enum import StrEnum

from payment_svc.domain import Approved, Declined, Money, Release
from payment_svc.gateway import GatewayUnavailable, PaymentGateway
from payment_svc.sandbox.ledger import Kind


class Way(StrEnum):
    THERE = "THERE"
    BACK = "BACK"


class Gate:
    """Shut until `open`. Whoever comes is seen (`reached`), and waits."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._let: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def open(self) -> None:
        """Lets everybody through."""
        if not self._let.done():
            self._let.set_result(None)

    async def lets_through(self) -> None:
        self.reached.set()
        # Shielded: one who is cancelled here does not shut it for the others.
        await asyncio.shield(self._let)


class GatedGateway(PaymentGateway):
    """The port, with gates. `asked` is every question in the order they came."""

    def __init__(self, behind: PaymentGateway) -> None:
        self._behind = behind
        self._gates: dict[tuple[str, Kind, Way], Gate] = {}
        self._failures: dict[tuple[str, Kind, Way], list[Exception]] = {}
        self.asked: list[tuple[str, Kind]] = []
        self._heard = asyncio.Condition()

    def shut(self, payment_id: str, kind: Kind, way: Way) -> Gate:
        """Shuts a gate, for this payment alone."""
        return self._gates.setdefault((payment_id, kind, way), Gate())

    def fail(
        self,
        payment_id: str,
        kind: Kind,
        way: Way,
        error: Exception | None = None,
        *,
        times: int = 1,
    ) -> None:
        """Has the next questions end there with an error."""
        trouble = error or GatewayUnavailable("the connection was reset")
        self._failures.setdefault((payment_id, kind, way), []).extend([trouble] * times)

    def open_all(self) -> None:
        """Opens every gate."""
        for gate in self._gates.values():
            gate.open()

    def count(self, payment_id: str, kind: Kind) -> int:
        """How often this was asked."""
        return self.asked.count((payment_id, kind))

    async def until_asked(self, payment_id: str, kind: Kind, *, times: int = 1) -> None:
        """Waits until this was asked so often."""
        async with self._heard:
            await self._heard.wait_for(lambda: self.count(payment_id, kind) >= times)

    def knows(self, method: str) -> bool:
        return self._behind.knows(method)

    async def hold(self, payment_id: str, amount: Money, method: str) -> Approved | Declined:
        await self._there(payment_id, Kind.HOLD)
        answer = await self._behind.hold(payment_id, amount, method)
        await self._pass(payment_id, Kind.HOLD, Way.BACK)
        return answer

    async def capture(self, payment_id: str, amount: Money) -> Approved | Declined:
        await self._there(payment_id, Kind.CAPTURE)
        answer = await self._behind.capture(payment_id, amount)
        await self._pass(payment_id, Kind.CAPTURE, Way.BACK)
        return answer

    async def release(self, payment_id: str) -> Release:
        await self._there(payment_id, Kind.RELEASE)
        answer = await self._behind.release(payment_id)
        await self._pass(payment_id, Kind.RELEASE, Way.BACK)
        return answer

    async def _there(self, payment_id: str, kind: Kind) -> None:
        self.asked.append((payment_id, kind))
        async with self._heard:
            self._heard.notify_all()
        await self._pass(payment_id, kind, Way.THERE)

    async def _pass(self, payment_id: str, kind: Kind, way: Way) -> None:
        place = (payment_id, kind, way)
        if place in self._gates:
            await self._gates[place].lets_through()
        if self._failures.get(place):
            raise self._failures[place].pop(0)
