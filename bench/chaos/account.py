"""What the caller of one order asked for, and what it was told.

Invariant: only grows: nothing that was once told is forgotten. Must never: ask anybody anything.
"""

from dataclasses import dataclass, field

from bench.chaos.orders import HOPELESS, Order
from oms.orchestrator.v1.order_process_pb2 import ORDER_PROCESS_STATE_COMPLETED, OrderProcess


@dataclass(slots=True, kw_only=True)
class Account:
    """One order as its caller knows it."""

    request_id: str
    customer_id: str
    minor_units: int
    hopeless: bool = False
    process_ids: set[str] = field(default_factory=set)
    """Whose number is 1 where all is well."""
    revision_max: int = 0
    completed: bool = False
    """It was told COMPLETED, once at least."""
    cancel_asked: bool = False
    cancel_accepted: bool = False
    complaints: list[str] = field(default_factory=list)
    """Answers that no caller should get."""

    @classmethod
    def of(cls, order: Order) -> "Account":
        """The account of an order that nobody has been asked for yet."""
        return cls(
            request_id=order.request.request_id,
            customer_id=order.request.customer_id,
            minor_units=order.minor_units,
            hopeless=order.fate in HOPELESS,
        )

    def told(self, process: OrderProcess) -> None:
        """Keeps what an answer said."""
        self.process_ids.add(process.process_id)
        self.revision_max = max(self.revision_max, process.revision)
        self.completed |= process.state == ORDER_PROCESS_STATE_COMPLETED
