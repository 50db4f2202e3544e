"""The order process: what is done for an order, in which order, and how each step is undone.

Invariant: a version that was ever released is never changed, for histories run to their end on the
version that they began on: a change is a new version. This module must never do anything itself.
"""

from typing import Final

from chassis.ids import suffix_of, with_prefix
from orchestrator.saga.definition import Definition, Step

PROCESS_PREFIX: Final = "prc"

ORDER_PROCESS: Final = Definition(
    name="order_process",
    version=1,
    steps=(
        Step(name="create_order", undo="cancel_order"),
        Step(name="process_payment", undo="cancel_payment"),
        # Takes the money that process_payment holds. cancel_payment releases the one or gives back
        # the other.
        Step(name="confirm_payment", covered_by="cancel_payment"),
        # Deliveries are only for confirmed orders.
        Step(name="confirm_order", covered_by="cancel_order"),
        Step(name="process_delivery", undo="cancel_delivery"),
    ),
)


def order_id_of(process_id: str) -> str:
    """The id of the process's order."""
    return with_prefix("ord", suffix_of(process_id))


def payment_id_of(process_id: str) -> str:
    """The id of the process's payment."""
    return with_prefix("pay", suffix_of(process_id))


def delivery_id_of(process_id: str) -> str:
    """The id of the process's delivery."""
    return with_prefix("dlv", suffix_of(process_id))


def process_id_of(order_id: str) -> str:
    """The id of the process whose order has this id."""
    return with_prefix(PROCESS_PREFIX, suffix_of(order_id))
