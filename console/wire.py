"""The edge to the servers: calls with a deadline, and what an error on the wire says.

Invariant: every call has a deadline, and whatever a server answers becomes a reply or a
`CallFailed`; nothing of grpc's own errors gets past this module, and no text from outside keeps
its control characters. It must never try again: who calls knows whether, and how long.
"""

import json
import re
import unicodedata
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo

from console.channels import ORCHESTRATOR_SERVICE, open_channel
from console.exits import Exit
from oms.orchestrator.v1.order_process_admin_service_pb2_grpc import OrderProcessAdminServiceStub
from oms.orchestrator.v1.order_process_service_pb2_grpc import OrderProcessServiceStub

if TYPE_CHECKING:
    # These are in the stubs' types alone.
    from oms.orchestrator.v1.order_process_admin_service_pb2_grpc import (
        OrderProcessAdminServiceAsyncStub,
    )
    from oms.orchestrator.v1.order_process_service_pb2_grpc import OrderProcessServiceAsyncStub

CALL_SECONDS: Final = 10.0
"""The deadline of a call that is answered at once by a server that is well."""

TEXT_LENGTH_MAX: Final = 1_000
_VIOLATIONS_MAX: Final = 1_000
_DETAILS_KEY: Final = "grpc-status-details-bin"
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_FORMATTING: Final = frozenset({"Cf", "Zl", "Zp"})

RequestT = TypeVar("RequestT", bound=Message)
ReplyT = TypeVar("ReplyT", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One thing that is wrong with a request."""

    field: str
    description: str


class CallFailed(Exception):  # noqa: N818 - named by what happened
    """A server answered an error, or none did."""

    def __init__(
        self,
        *,
        target: str,
        code: grpc.StatusCode,
        reason: str = "",
        message: str = "",
        violations: Sequence[Violation] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.target = target
        self.code = code
        self.reason = reason
        self.message = message
        self.violations = tuple(violations)
        self.retry_after_seconds = retry_after_seconds

    @property
    def exit(self) -> Exit:
        """How a command ends that this ends."""
        wrong = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.ALREADY_EXISTS)
        return Exit.BAD_INPUT if self.code in wrong else Exit.FAILED

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed in a while: the server is away, stopping or full."""
        if self.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            # Without a word from our server it is the library's: the message is, and stays, too
            # large.
            return bool(self.reason) or self.retry_after_seconds is not None
        return self.code in _PASSING

    @property
    def unanswered(self) -> bool:
        """Whether no server of ours said anything: the error is the library's own."""
        return not self.reason and self.code in {
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED,
        }

    @property
    def never_sent(self) -> bool:
        """Whether no server has even seen the call: there was no connection to send it over."""
        return (
            self.unanswered
            and self.code is grpc.StatusCode.UNAVAILABLE
            and self.message.startswith("failed to connect to all addresses")
        )

    @property
    def stored_nothing(self) -> bool:
        """Whether the call is known to have had no effect: nobody saw it, or it was turned away."""
        full = self.code is grpc.StatusCode.RESOURCE_EXHAUSTED and self.reason == "OVERLOADED"
        return full or self.never_sent

    def sentence(self) -> str:
        """What went wrong, for a person."""
        if self.unanswered:
            if self.code is grpc.StatusCode.DEADLINE_EXCEEDED:
                return f"{self.target} did not answer in time."
            return f"Nothing answers at {self.target} ({_cause(self.message)})."
        if self.code is grpc.StatusCode.UNIMPLEMENTED:
            return f"What answers at {self.target} is not an orchestrator."
        name = self.reason or self.code.name
        if self.violations:
            return f"The request is not right ({name}):"
        text = self.message[:1].upper() + self.message[1:]
        return f"{text.rstrip('.')} ({name})." if text else f"{self.target} answered {name}."

    def document(self) -> dict[str, object]:
        """The same for a program."""
        return {
            "error": {
                "target": self.target,
                "code": self.code.name,
                "reason": self.reason,
                "message": self.message,
                "violations": [
                    {"field": it.field, "description": it.description} for it in self.violations
                ],
            }
        }


_PASSING: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A channel to the orchestrator, and what is spoken over it."""

    target: str
    channel: grpc.aio.Channel
    processes: "OrderProcessServiceAsyncStub"
    admin: "OrderProcessAdminServiceAsyncStub"

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[RequestT, ReplyT],
        request: RequestT,
        *,
        timeout: float = CALL_SECONDS,  # noqa: ASYNC109 - a deadline on the wire
    ) -> ReplyT:
        """One call; raises `CallFailed`."""
        return await call(method, request, target=self.target, timeout=timeout)


@asynccontextmanager
async def connect(target: str) -> AsyncIterator[Connection]:
    """A connection to the orchestrators at `target`. Nothing is sent before the first call."""
    async with open_channel(target, service=ORCHESTRATOR_SERVICE) as channel:
        yield Connection(
            target=target,
            channel=channel,
            processes=OrderProcessServiceStub(channel),
            admin=OrderProcessAdminServiceStub(channel),
        )


async def call(
    method: grpc.aio.UnaryUnaryMultiCallable[RequestT, ReplyT],
    request: RequestT,
    *,
    target: str,
    timeout: float = CALL_SECONDS,  # noqa: ASYNC109 - a deadline on the wire
) -> ReplyT:
    """One call to any server; raises `CallFailed`."""
    try:
        return await method(request, timeout=timeout)
    except grpc.aio.AioRpcError as error:
        raise read_error(error, target=target) from None


def read_error(error: grpc.aio.AioRpcError, *, target: str) -> CallFailed:
    """What a call that failed was answered. Details that cannot be read count as not given."""
    reason = ""
    violations: tuple[Violation, ...] = ()
    retry_after_seconds: float | None = None
    for detail in _details(error):
        try:
            if detail.TypeName() == "google.rpc.ErrorInfo":
                reason = plain(ErrorInfo.FromString(detail.value).reason)
            elif detail.TypeName() == "google.rpc.RetryInfo":
                delay = RetryInfo.FromString(detail.value).retry_delay
                retry_after_seconds = max(0.0, delay.seconds + delay.nanos / 1e9)
            elif detail.TypeName() == "google.rpc.BadRequest":
                told = BadRequest.FromString(detail.value).field_violations[:_VIOLATIONS_MAX]
                violations = tuple(
                    Violation(field=plain(it.field), description=plain(it.description))
                    for it in told
                )
        except DecodeError:
            continue
    return CallFailed(
        target=target,
        code=error.code(),
        reason=reason,
        message=plain(error.details() or ""),
        violations=violations,
        retry_after_seconds=retry_after_seconds,
    )


def plain(text: str, *, length_max: int = TEXT_LENGTH_MAX) -> str:
    """Text from outside on one line, bounded, and free of what a terminal would obey.

    What formats the text around it and is not seen itself, such as a right-to-left override, is
    shown as its number.
    """
    clean = visible(_CONTROL.sub(" ", text[: length_max + 1]))
    return clean if len(clean) <= length_max else clean[: length_max - 1] + "…"


def visible(text: str) -> str:
    """The text with what formats it (Unicode's Cf, Zl, Zp and C1) written as JSON writes it."""
    if text.isascii():
        return text
    return "".join(json.dumps(it)[1:-1] if _formats(it) else it for it in text)


def _formats(character: str) -> bool:
    return "\x80" <= character <= "\x9f" or unicodedata.category(character) in _FORMATTING


def _details(error: grpc.aio.AioRpcError) -> Sequence[Any]:
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value).details
            except DecodeError:
                return ()
    return ()


def _cause(message: str) -> str:
    """The one word of grpc's long message that helps."""
    for sign, cause in (
        ("unhealthy", "what is there does not serve just now"),
        ("health check", "what is there does not serve just now"),
        ("refused", "connection refused"),
        ("DNS", "its name does not resolve"),
        ("resolution failed", "its name does not resolve"),
        ("timed out", "no connection in time"),
        ("unreachable", "no route to it"),
    ):
        if sign in message:
            return cause
    return "the connection broke"
