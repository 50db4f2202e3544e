"""How a command ends: the exit codes of `oms`, the same ones for every command.

Invariant: one code, one meaning, and 0 only where what was asked for came about. This module must
never decide which one applies: commands do.
"""

from enum import IntEnum
from typing import Final

from oms.orchestrator.v1.order_process_pb2 import (
    ORDER_PROCESS_STATE_CANCELLED,
    ORDER_PROCESS_STATE_COMPLETED,
    ORDER_PROCESS_STATE_PARKED,
    OrderProcess,
)


class Exit(IntEnum):
    """An exit code."""

    DONE = 0
    FAILED = 1
    BAD_INPUT = 2
    CANCELLED = 3
    PARKED = 4
    STILL_GOING = 5
    # An audit that was finished, and found something.
    WRONG = 6
    # EX_CONFIG of sysexits.h, and what a service exits with when it cannot start as it is set up.
    CONFIGURATION = 78
    # What a shell shows for a command that was interrupted.
    INTERRUPTED = 130


_BY_STATE: Final = {
    ORDER_PROCESS_STATE_COMPLETED: Exit.DONE,
    ORDER_PROCESS_STATE_CANCELLED: Exit.CANCELLED,
    ORDER_PROCESS_STATE_PARKED: Exit.PARKED,
}


def of_process(process: OrderProcess) -> Exit:
    """The code of a command that waited for this process."""
    return _BY_STATE.get(process.state, Exit.STILL_GOING)
