"""What is asked of an audit, checked and freed of protobuf.

Invariant: where something is wrong it raises Invalid, which names all of it. This module must never
touch the log.
"""

from typing import Final

from chassis import faults
from chassis.timestamps import boundary_us
from chassis.validation import Violations
from oms.orchestrator.v1 import order_process_admin_service_pb2 as pb
from orchestrator.audit import resume_token
from orchestrator.audit.progress import Progress, Range

OVERDUE_SECONDS_DEFAULT: Final = 300
OVERDUE_SECONDS_MAX: Final = 31_536_000


def audit(request: pb.AuditOrderProcessesRequest) -> Range | Progress:
    """Reads what is to be audited, or which audit is to go on."""
    violations = Violations()
    from_us = before_us = None
    if request.HasField("create_time_after"):
        from_us = boundary_us(violations, "create_time_after", request.create_time_after)
    if request.HasField("create_time_before"):
        before_us = boundary_us(violations, "create_time_before", request.create_time_before)
    if from_us is not None and before_us is not None and before_us <= from_us:
        violations.add("create_time_before", "must be later than create_time_after")
    overdue_seconds = violations.number(
        "overdue_seconds", request.overdue_seconds, low=0, high=OVERDUE_SECONDS_MAX
    )
    resumed: Progress | None = None
    if request.resume_token:
        try:
            resumed = resume_token.decode(request.resume_token)
        except faults.Invalid as error:
            for violation in error.violations:
                violations.add(violation.field, violation.description)
    if resumed is not None and (
        from_us not in {None, resumed.range.created_from_us}
        or before_us not in {None, resumed.range.created_before_us}
        or overdue_seconds not in {0, resumed.range.overdue_seconds}
    ):
        violations.add(resume_token.FIELD, "must be sent with the same range, or with none")
    violations.raise_if_any()
    if resumed is not None:
        return resumed
    return Range(
        created_from_us=from_us,
        created_before_us=before_us,
        overdue_seconds=overdue_seconds or OVERDUE_SECONDS_DEFAULT,
    )
