"""What the product's programs log while they are simulated: nothing, but that they are defective.

Invariant: a line that says that the program itself failed is heard; all others are dropped, as
cheaply as can be. Must never: be called where somebody wants to read the product's log.
"""

import sys
from typing import Final

import structlog

_DEFECTS: Final = frozenset(
    {
        "process_failed",
        "process_unreadable",
        "recovery_failed",
        "task_failed",
        "action_failed",
        "ask_failed",
        "gateway_defect",
        "settling_failed",
    }
)

heard: Final[list[str]] = []
"""Defects since somebody last looked."""


def hush(*, for_good: bool) -> None:
    """Has this program log nothing more; for good, it costs even less."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(40),
        processors=[_hear],
        cache_logger_on_first_use=for_good,
    )


def _hear(
    logger: object, name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    del logger, name
    if event["event"] in _DEFECTS:
        error = event.get("exc_info")
        if error is True:
            error = sys.exception()
        heard.append(f"{event['event']}: {error!r}" if error else str(event["event"]))
    raise structlog.DropEvent
