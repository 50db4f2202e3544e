"""What the fake orchestrator answers in place of a reply."""

from dataclasses import dataclass

import grpc
from google.rpc import status_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What to answer instead."""

    code: grpc.StatusCode
    reason: str = ""
    message: str = "no"
    violations: tuple[tuple[str, str], ...] = ()
    retry_after_seconds: float | None = None

    def status(self) -> grpc.Status:
        code, message = self.code.value[0], self.message
        status = status_pb2.Status(code=code, message=message)
        if self.reason:
            status.details.add().Pack(ErrorInfo(reason=self.reason, domain="oms"))
        if self.violations:
            bad = BadRequest()
            for name, description in self.violations:
                bad.field_violations.add(field=name, description=description)
            status.details.add().Pack(bad)
        if self.retry_after_seconds is not None:
            info = RetryInfo()
            info.retry_delay.FromMicroseconds(int(self.retry_after_seconds * 1e6))
            status.details.add().Pack(info)
        return rpc_status.to_status(status)


AWAY = Fault(code=grpc.StatusCode.UNAVAILABLE, reason="DRAINING", message="the server is stopping")


def invalid(*violations: tuple[str, str]) -> Fault:
    return Fault(
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason="INVALID_REQUEST",
        message="the request is invalid",
        violations=violations,
    )


def refused(reason: str, message: str) -> Fault:
    return Fault(code=grpc.StatusCode.FAILED_PRECONDITION, reason=reason, message=message)
