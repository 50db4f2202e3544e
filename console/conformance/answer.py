"""What a participant answered to one call.

Invariant: whatever came back, a reply, an error with or without details, or nothing in time, is an
answer that can be looked at. It must never be judged here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import DecodeError
from google.rpc import status_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo

_DETAILS_KEY: Final = "grpc-status-details-bin"
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_MESSAGE_LENGTH_MAX: Final = 200

# "Ask again": the answer of a participant that may well say yes later.
_PASSING: Final = frozenset(
    {
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The outcome of one call.

    `call` names the RPC; `reply` is its response where the code is OK; `info` and `fields` are the
    error's details where it had them: fields is None where there was no BadRequest.
    """

    call: str
    code: grpc.StatusCode
    reply: Any = None
    state: str = ""
    message: str = ""
    info: ErrorInfo | None = None
    fields: Sequence[str] | None = None

    @property
    def ok(self) -> bool:
        """Whether it is a reply."""
        return self.code is grpc.StatusCode.OK

    @property
    def passing(self) -> bool:
        """Whether the same call may be answered otherwise in a while.

        UNAVAILABLE without a reason is the library's own word: nobody is there to be asked again.
        """
        gone = self.code is grpc.StatusCode.UNAVAILABLE and not self.reason
        return self.code in _PASSING and not gone

    @property
    def reason(self) -> str:
        """Why not, as a program reads it; empty where that is not told."""
        return "" if self.info is None else self.info.reason

    @property
    def told(self) -> str:
        """The answer in words."""
        if self.ok:
            return f"{self.call} answered OK" + (f", state {self.state}" if self.state else "")
        reason = f" / {self.reason}" if self.reason else ""
        message = f" ({self.message})" if self.message else ""
        return f"{self.call} answered {self.code.name}{reason}{message}"


def failed(call: str, error: grpc.RpcError) -> Answer:
    """The answer that an error of grpc's is."""
    # Every error of a call is the call.
    its = cast("grpc.Call", error)
    info: ErrorInfo | None = None
    fields: list[str] | None = None
    for detail in _details(its):
        try:
            match detail.TypeName():
                case "google.rpc.ErrorInfo":
                    info = ErrorInfo.FromString(detail.value)
                case "google.rpc.BadRequest":
                    request = BadRequest.FromString(detail.value)
                    fields = [it.field for it in request.field_violations]
                case _:
                    pass
        except DecodeError:
            continue
    return Answer(
        call=call,
        code=its.code(),
        message=_CONTROL.sub(" ", its.details() or "")[:_MESSAGE_LENGTH_MAX],
        info=info,
        fields=fields,
    )


def _details(error: grpc.Call) -> Sequence[Packed]:
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value).details
            except DecodeError:
                return ()
    return ()
