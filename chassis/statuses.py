"""Faults on the wire, and off it: google.rpc.Status with its details.

Invariant: what is sent fits into the 8 KiB that a client takes as trailing metadata, whatever the
fault holds, and what is read back is bounded and free of control characters. Must never: raise on
what another server sent.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status

from chassis.faults import Fault, Invalid, Overloaded, Unavailable, Violation, code_of

DOMAIN: Final = "oms"
MESSAGE_LENGTH_MAX: Final = 1_000
INTERNAL_REASON: Final = "INTERNAL"
INTERNAL_MESSAGE: Final = "internal error"

# gRPC's clients take 8 KiB of trailing metadata in all. The message is in there twice:
# percent-encoded, and within the details, which travel in base64.
_TRAILERS_BYTES_MAX: Final = 7_000
_MESSAGE_BYTES_MAX: Final = 1_500
_METADATA_BYTES_MAX: Final = 1_000
_VIOLATION_LENGTH_MAX: Final = 300
_VIOLATIONS_READ_MAX: Final = 1_000
_RETRY_AFTER_SECONDS_MAX: Final = 86_400.0

_SAME_DETAILS_MAX: Final = 256

_DETAILS_KEY: Final = "grpc-status-details-bin"
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_REASON: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_MORE: Final = Violation(field="", description="more is wrong than can be told at once")


@dataclass(frozen=True, slots=True, kw_only=True)
class WireError:
    """What another server answered in place of a reply. `reason` is empty where it gave none."""

    code: grpc.StatusCode
    reason: str
    message: str
    violations: tuple[Violation, ...] = ()
    retry_after_seconds: float | None = None


def sanitised(text: str, *, length_max: int = MESSAGE_LENGTH_MAX) -> str:
    """The text on one line, without control characters, at most `length_max` characters."""
    # Cut twice: what is far too long is not searched through, and what was put in is counted.
    clean = text[: length_max + 1]
    if not clean.isprintable():
        clean = _UNPRINTABLE.sub(" ", clean)
    clean = clean.strip()
    return clean if len(clean) <= length_max else clean[: length_max - 1] + "…"


def to_status(fault: Fault) -> status_pb2.Status:
    """The status that a caller gets for a fault. Of a defect it tells only that it is one."""
    code = code_of(fault)
    if code is grpc.StatusCode.INTERNAL:
        return internal_status()
    status = status_pb2.Status(code=code.value[0], message=_message(fault.message))
    if fault.metadata:
        status.details.add().Pack(_error_info(fault))
    else:
        status.details.append(_reason(fault.reason))
    match fault:
        case Overloaded() | Unavailable() if fault.retry_after_seconds is not None:
            status.details.append(_retry(fault.retry_after_seconds))
        case Invalid():
            left = _TRAILERS_BYTES_MAX - _trailers_bytes(status)
            status.details.add().Pack(_bad_request(fault.violations, bytes_max=left * 3 // 4))
        case _:
            pass
    return status


def to_answer(fault: Fault) -> grpc.Status:
    """The status for a fault as an RPC is ended with it."""
    if type(fault) is Overloaded and not fault.metadata:
        return _turned_away(fault.reason, fault.message, fault.retry_after_seconds)
    return rpc_status.to_status(to_status(fault))


def internal_status() -> status_pb2.Status:
    """What a caller gets where the program is wrong."""
    status = status_pb2.Status(code=grpc.StatusCode.INTERNAL.value[0], message=INTERNAL_MESSAGE)
    status.details.add().Pack(ErrorInfo(reason=INTERNAL_REASON, domain=DOMAIN))
    return status


def read_error(error: grpc.aio.AioRpcError) -> WireError:
    """What a call that failed was answered. Details that cannot be read count as not given."""
    reason = ""
    violations: tuple[Violation, ...] = ()
    retry_after_seconds: float | None = None
    for detail in _details(error):
        try:
            match detail.TypeName():
                case "google.rpc.ErrorInfo":
                    info = ErrorInfo.FromString(detail.value)
                    reason = info.reason if _REASON.fullmatch(info.reason) else ""
                case "google.rpc.RetryInfo":
                    delay = RetryInfo.FromString(detail.value).retry_delay
                    seconds = delay.seconds + delay.nanos / 1_000_000_000
                    retry_after_seconds = min(max(seconds, 0.0), _RETRY_AFTER_SECONDS_MAX)
                case "google.rpc.BadRequest":
                    found = BadRequest.FromString(detail.value).field_violations
                    violations = tuple(_violation(it) for it in found[:_VIOLATIONS_READ_MAX])
                case _:
                    pass
        except DecodeError:
            continue
    return WireError(
        code=error.code(),
        reason=reason,
        message=sanitised(error.details() or ""),
        violations=violations,
        retry_after_seconds=retry_after_seconds,
    )


def _details(error: grpc.aio.AioRpcError) -> Sequence[Any]:
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value).details
            except DecodeError:
                return ()
    return ()


def _violation(told: BadRequest.FieldViolation) -> Violation:
    return Violation(
        field=sanitised(told.field, length_max=_VIOLATION_LENGTH_MAX),
        description=sanitised(told.description, length_max=_VIOLATION_LENGTH_MAX),
    )


def _error_info(fault: Fault) -> ErrorInfo:
    info = ErrorInfo(reason=fault.reason, domain=DOMAIN)
    left = _METADATA_BYTES_MAX
    for key, value in fault.metadata.items():
        text = sanitised(value, length_max=_VIOLATION_LENGTH_MAX)
        left -= len(key.encode()) + len(text.encode())
        if left < 0:
            break
        info.metadata[key] = text
    return info


# Whoever has too much to do tells thousands the same.
@lru_cache(maxsize=_SAME_DETAILS_MAX)
def _turned_away(reason: str, message: str, retry_after_seconds: float) -> grpc.Status:
    same = Overloaded(reason, message, retry_after_seconds=retry_after_seconds)
    return rpc_status.to_status(to_status(same))


# To pack it is most of the work.
@lru_cache(maxsize=_SAME_DETAILS_MAX)
def _reason(reason: str) -> Any:
    return _packed(ErrorInfo(reason=reason, domain=DOMAIN))


@lru_cache(maxsize=_SAME_DETAILS_MAX)
def _retry(after_seconds: float) -> Any:
    return _packed(RetryInfo(retry_delay=_duration(after_seconds)))


def _packed(detail: Message) -> Any:
    packed = Any()
    packed.Pack(detail)
    return packed


def _bad_request(violations: Sequence[Violation], *, bytes_max: int) -> BadRequest:
    """As many violations as fit, and a word where some did not."""
    request = BadRequest()
    for violation in violations:
        entry = _field_violation(violation)
        bytes_max -= entry.ByteSize() + 4
        if bytes_max < 0:
            del request.field_violations[-1:]
            request.field_violations.append(_field_violation(_MORE))
            break
        request.field_violations.append(entry)
    return request


def _field_violation(violation: Violation) -> BadRequest.FieldViolation:
    return BadRequest.FieldViolation(
        field=sanitised(violation.field, length_max=_VIOLATION_LENGTH_MAX),
        description=sanitised(violation.description, length_max=_VIOLATION_LENGTH_MAX),
    )


def _message(text: str) -> str:
    """The text, cut where its percent-encoded form becomes too long."""
    clean = sanitised(text)
    if 3 * len(clean.encode()) <= _MESSAGE_BYTES_MAX:
        # Nor is it too long where each of its bytes becomes three.
        return clean
    size = 0
    for index, character in enumerate(clean):
        size += 1 if " " <= character <= "~" and character != "%" else 3 * len(character.encode())
        if size > _MESSAGE_BYTES_MAX:
            return clean[: index - 3] + "…"
    return clean


def _trailers_bytes(status: status_pb2.Status) -> int:
    return _MESSAGE_BYTES_MAX + status.ByteSize() * 4 // 3


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMicroseconds(round(min(max(seconds, 0.0), _RETRY_AFTER_SECONDS_MAX) * 1_000_000))
    return duration
