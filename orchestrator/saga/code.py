"""The status codes of gRPC, by their names and numbers.

Invariant: the 17 codes of the gRPC specification, and no others. Must never: say what a code means
for a saga; that is `outcome.py`'s.
"""

from enum import IntEnum
from typing import Final


class Code(IntEnum):
    """How a call ended."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


# Asked of the class a member costs as much as a call; this one is asked for at every turn.
OK: Final = Code.OK
