"""Which events of a process's history a test waits for.

Invariant: each function gives a predicate over one event; none looks at the clock.
"""

from collections.abc import Callable

from oms.orchestrator.v1.order_process_pb2 import (
    ORDER_PROCESS_EVENT_KIND_ATTEMPT_BEGAN,
    ORDER_PROCESS_EVENT_KIND_ATTEMPT_ENDED,
    OrderProcessEvent,
)

Which = Callable[[OrderProcessEvent], bool]


def attempt_began(step: str) -> Which:
    """An attempt at that step, about to be made."""

    def is_it(event: OrderProcessEvent) -> bool:
        return (event.kind, event.step) == (ORDER_PROCESS_EVENT_KIND_ATTEMPT_BEGAN, step)

    return is_it


def attempt_ended(step: str, *, code: str = "", outcome: str = "") -> Which:
    """An attempt at that step that ended, with that code and outcome where they are given."""

    def is_it(event: OrderProcessEvent) -> bool:
        return (
            event.kind == ORDER_PROCESS_EVENT_KIND_ATTEMPT_ENDED
            and event.step == step
            and code in {"", event.code}
            and outcome in {"", event.outcome}
        )

    return is_it
