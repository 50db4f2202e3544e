"""What whoever asks for an audit is shown: pages of findings, and the summary.

Invariant: a view is made of a page alone. This module must never decide that something is wrong.
"""

from chassis.timestamps import to_timestamp
from oms.common.v1 import money_pb2
from oms.orchestrator.v1 import audit_pb2
from oms.orchestrator.v1 import order_process_admin_service_pb2 as pb
from orchestrator.audit import resume_token
from orchestrator.audit.audit import Page
from orchestrator.audit.finding import Finding, Kind
from orchestrator.audit.progress import Counts, Tally


def page_message(page: Page) -> pb.AuditOrderProcessesResponse:
    """A page as it is sent."""
    progress = page.progress
    response = pb.AuditOrderProcessesResponse(
        findings=[_finding(it) for it in page.findings],
        counts=_counts(progress.tally.counts),
        resume_token="" if page.last else resume_token.encode(progress),
        audited_before=to_timestamp(progress.position_us),
    )
    if page.last:
        response.summary.CopyFrom(_summary(progress.tally))
    return response


def _finding(finding: Finding) -> audit_pb2.AuditFinding:
    amount = finding.amount
    return audit_pb2.AuditFinding(
        kind=_kind(finding.kind),
        severity=audit_pb2.AuditSeverity.Value(f"AUDIT_SEVERITY_{finding.severity}"),
        process_id=finding.process_id,
        order_id=finding.order_id,
        payment_id=finding.payment_id,
        delivery_id=finding.delivery_id,
        expected=finding.expected,
        found=finding.found,
        amount=(
            None
            if amount is None
            else money_pb2.Money(currency_code=amount.currency_code, minor_units=amount.minor_units)
        ),
        since=to_timestamp(finding.since_us),
        message=finding.message,
    )


def _counts(counts: Counts) -> audit_pb2.AuditCounts:
    return audit_pb2.AuditCounts(
        processes=counts.processes,
        orders=counts.orders,
        payments=counts.payments,
        deliveries=counts.deliveries,
    )


def _summary(tally: Tally) -> audit_pb2.AuditSummary:
    return audit_pb2.AuditSummary(
        counts=_counts(tally.counts),
        findings=[
            audit_pb2.AuditFindingCount(kind=_kind(kind), count=tally.kinds[kind])
            for kind in Kind
            if kind in tally.kinds
        ],
        money_at_risk=[
            audit_pb2.AuditMoneyAtRisk(
                held=money_pb2.Money(currency_code=code, minor_units=risk.held),
                captured=money_pb2.Money(currency_code=code, minor_units=risk.captured),
                payments=risk.payments,
                oldest_since=to_timestamp(risk.oldest_since_us),
            )
            for code, risk in sorted(tally.at_risk.items())
        ],
        wrong=tally.wrong,
    )


def _kind(kind: Kind) -> audit_pb2.AuditFindingKind.ValueType:
    return audit_pb2.AuditFindingKind.Value(f"AUDIT_FINDING_KIND_{kind}")
