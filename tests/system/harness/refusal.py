"""What a refused call tells its caller: the status, and the details that the contract promises.

Invariant: read with google.rpc's own messages from the bytes on the wire, as any client in any
language would.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.rpc import error_details_pb2, status_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A status that is not OK. `fields` are those that BadRequest names, in its order."""

    code: grpc.StatusCode
    message: str
    reason: str
    domain: str
    fields: tuple[str, ...]
    descriptions: tuple[str, ...]
    retry_after_seconds: float | None

    @property
    def told(self) -> tuple[grpc.StatusCode, str]:
        """What the contract lists under a method: the code and the reason."""
        return self.code, self.reason


async def refusal(call: Awaitable[Any]) -> Refusal:
    """Waits for a call that must be refused, and reads what it was told."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return read(error)
    raise AssertionError(f"the call was not refused, but answered: {answer}")


def read(error: grpc.aio.AioRpcError) -> Refusal:
    """The details of an error."""
    info, bad, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            for detail in status_pb2.Status.FromString(value).details:
                for known in (info, bad, retry):
                    detail.Unpack(known)  # where it is of that type
    return Refusal(
        code=error.code(),
        message=error.details() or "",
        reason=info.reason,
        domain=info.domain,
        fields=tuple(it.field for it in bad.field_violations),
        descriptions=tuple(it.description for it in bad.field_violations),
        retry_after_seconds=retry.retry_delay.ToTimedelta().total_seconds()
        if retry.HasField("retry_delay")
        else None,
    )
