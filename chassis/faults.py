"""What can go wrong, named by what the caller must do about it.

Invariant: every fault has one gRPC code, and CODES alone says which. Must never: know anything of
how it is put on the wire.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import grpc

INVALID_REQUEST: Final = "INVALID_REQUEST"
_REASON: Final = re.compile(r"[A-Z][A-Z0-9_]{0,62}")
_NO_METADATA: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One thing that is wrong with a request.

    `field` is a path as protobuf writes it, for example `items[2].unit_price.currency_code`;
    `description` goes on from it: "must be …".
    """

    field: str
    description: str


class Fault(Exception):  # noqa: N818 - named by what the caller must do, not by what it is
    """Something a caller is told.

    `reason` is for machines, in capitals (UPPER_SNAKE); `message` is for people. Both reach the
    caller, and so does `metadata`. Raise one of the subclasses.
    """

    def __init__(
        self, reason: str, message: str, *, metadata: Mapping[str, str] | None = None
    ) -> None:
        assert _REASON.fullmatch(reason), f"a reason is written UPPER_SNAKE, not {reason!r}"
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = _NO_METADATA if metadata is None else metadata

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class Invalid(Fault):
    """The request is wrong, whatever the state of things: mend it."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        assert violations, "an invalid request has at least one violation"
        self.violations = tuple(violations)
        told = "; ".join(f"{it.field} {it.description}".strip() for it in self.violations[:20])
        more = f"; and {len(self.violations) - 20} more" if len(self.violations) > 20 else ""
        super().__init__(INVALID_REQUEST, told + more)


class NotFound(Fault):
    """There is no such thing."""


class Conflict(Fault):
    """The id is taken by something else: draw another."""


class Rejected(Fault):
    """Not in this state, and sending it again does not help."""


class Refused(Fault):
    """Not now: somebody else is at it. Look again, or send it again."""


class Overloaded(Fault):
    """Too much at once; nothing was done. Send it again after `retry_after_seconds`."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        retry_after_seconds: float,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(reason, message, metadata=metadata)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(Fault):
    """Whether it was done is not known. Send it again, maybe after `retry_after_seconds`."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        retry_after_seconds: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(reason, message, metadata=metadata)
        self.retry_after_seconds = retry_after_seconds


class Defect(Fault):
    """The program is wrong. The caller learns only that; reason and message are for the log."""


CODES: Final[Mapping[type[Fault], grpc.StatusCode]] = MappingProxyType(
    {
        Invalid: grpc.StatusCode.INVALID_ARGUMENT,
        NotFound: grpc.StatusCode.NOT_FOUND,
        Conflict: grpc.StatusCode.ALREADY_EXISTS,
        Rejected: grpc.StatusCode.FAILED_PRECONDITION,
        Refused: grpc.StatusCode.ABORTED,
        Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
        Unavailable: grpc.StatusCode.UNAVAILABLE,
        Defect: grpc.StatusCode.INTERNAL,
    }
)


def code_of(fault: Fault) -> grpc.StatusCode:
    """The gRPC code of the nearest of its classes in CODES; INTERNAL where there is none."""
    for class_ in type(fault).__mro__:
        if (code := CODES.get(class_)) is not None:
            return code
    return grpc.StatusCode.INTERNAL
