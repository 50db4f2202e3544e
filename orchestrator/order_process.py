"""The order process: what is done for an order, in which order, and how each step is undone.

Invariant: a version that was ever released is never changed, for histories run to their end on the
version that they began on: a change is a new version. This module must never call a participant.
"""

from typing import Final

from chassis.ids import sibling
from chassis.json_text import Written
from orchestrator.placed_order import PlacedOrder, fingerprint_of
from orchestrator.runner import Runner
from orchestrator.saga.definition import Definition, Step, Versions
from orchestrator.saga_log.protocol import ProcessRow

PROCESS_PREFIX: Final = "prc"

ORDER_PROCESS: Final = Definition(
    name="order_process",
    version=1,
    steps=(
        Step(name="create_order", undo="cancel_order"),
        # Holds the money.
        Step(name="process_payment", undo="cancel_payment"),
        # Takes the money that is held. cancel_payment releases the one and gives back the other.
        Step(name="confirm_payment", covered_by="cancel_payment"),
        # Deliveries are only for confirmed orders.
        Step(name="confirm_order", covered_by="cancel_order"),
        # Assigns a courier: then the process is COMPLETED.
        Step(name="process_delivery", undo="cancel_delivery"),
    ),
)

# A new version is added at the end. The former ones stay, for some process may still run on them.
ORDER_PROCESSES: Final = Versions(known=(ORDER_PROCESS,))


async def start_order_process(
    runner: Runner,
    order: PlacedOrder,
    *,
    definition: Definition,
    process_id: str,
    request_id: str,
    deadline_us: int,
) -> tuple[ProcessRow, bool]:
    """Starts the process of an order, unless the request started one before.

    Args:
        runner: Runs it.
        order: What was placed.
        definition: The current one of ORDER_PROCESSES, as patient as this orchestrator is.
        process_id: Freshly drawn. The ids of order, payment and delivery share what follows "prc_".
        request_id: The caller's id of the request.
        deadline_us: Until when its steps are tried.

    Returns:
        The process of that request, durable, and whether it was started now. If it was not, it may
        be that of another order: its fingerprint tells.

    Raises:
        faults.Unavailable: DRAINING, or LOG_UNAVAILABLE: then it may have been started.
    """
    canonical, total = order.canonical(), order.total
    return await runner.accept(
        process_id=process_id,
        business_key=request_id,
        fingerprint=fingerprint_of(canonical),
        subject=order.customer_id,
        definition=definition,
        # To put it into words once more, for the log, would be as much again as all of this.
        input=Written(
            {**order.content(), "total": total.content()},
            f'{canonical[:-1]},"total":{total.canonical()}}}',
        ),
        deadline_us=deadline_us,
    )


def order_id_of(process_id: str) -> str:
    """The id of the process's order."""
    return sibling("ord", process_id)


def payment_id_of(process_id: str) -> str:
    """The id of the process's payment."""
    return sibling("pay", process_id)


def delivery_id_of(process_id: str) -> str:
    """The id of the process's delivery."""
    return sibling("dlv", process_id)


def process_id_of(order_id: str) -> str | None:
    """The id of the process of an order; None if its id is not one that a process gives."""
    process_id = sibling(PROCESS_PREFIX, order_id)
    return process_id if order_id_of(process_id) == order_id else None
