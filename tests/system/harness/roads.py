"""The roads from the orchestrator to its participants, each through a proxy.

Invariant: every call that the orchestrator makes is on one of them, and is remembered by whose
process it belongs to.
Must never: look into a message but CreateOrder, the only one that says who the customer is.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Self

from bench.chaos.proxy import Proxy
from bench.chaos.snags import HeldReply, HeldRequest, Hold, Passage
from oms.order.v1.order_service_pb2 import CreateOrderRequest

PARTICIPANT_OF = {
    "CreateOrder": "order",
    "ConfirmOrder": "order",
    "CancelOrder": "order",
    "CreatePayment": "payment",
    "ConfirmPayment": "payment",
    "CancelPayment": "payment",
    "CreateDelivery": "delivery",
    "CancelDelivery": "delivery",
}


class Roads:
    """A proxy in front of each participant. Processes go by their customer, whom a test chooses."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._customers: dict[str, str] = {}
        self._calls: dict[str, list[str]] = defaultdict(list)
        self._counts: Counter[str] = Counter()
        self._awaited: list[tuple[str, int, asyncio.Event]] = []
        self.proxies = {
            name: Proxy(address, on_passage=self._remember) for name, address in addresses.items()
        }

    @property
    def routes(self) -> dict[str, str]:
        """What the orchestrator dials, by participant."""
        return {name: proxy.address for name, proxy in self.proxies.items()}

    async def start(self) -> Self:
        """Opens all roads."""
        await asyncio.gather(*(proxy.start() for proxy in self.proxies.values()))
        return self

    async def close(self) -> None:
        """Closes them, breaking what is on them."""
        await asyncio.gather(*(proxy.close() for proxy in self.proxies.values()))

    def calls(self, customer_id: str) -> list[str]:
        """The methods that the orchestrator called for this customer's process, in order."""
        return list(self._calls[customer_id])

    async def passed(self, method: str, times: int) -> None:
        """Waits until so many calls of that method have come by."""
        event = asyncio.Event()
        self._awaited.append((method, times, event))
        self._tell()
        await event.wait()

    def hold(
        self, kind: type[HeldRequest] | type[HeldReply], customer_id: str, method: str
    ) -> Hold:
        """Keeps the next call of that method for that customer's process."""
        return self.proxies[PARTICIPANT_OF[method]].lay(
            kind(lambda it: it.name == method and self._customer(it) == customer_id)
        )

    def _customer(self, passage: Passage) -> str:
        return self._customers.get(passage.process_id, "")

    def _remember(self, passage: Passage) -> None:
        if passage.name == "CreateOrder":
            request = CreateOrderRequest.FromString(passage.request)
            self._customers[passage.process_id] = request.customer_id
        self._calls[self._customer(passage)].append(passage.name)
        self._counts[passage.name] += 1
        self._tell()

    def _tell(self) -> None:
        for awaited in list(self._awaited):
            method, times, event = awaited
            if self._counts[method] >= times:
                self._awaited.remove(awaited)
                event.set()
