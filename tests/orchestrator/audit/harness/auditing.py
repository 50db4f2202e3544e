"""Audits as a caller sees them, and corruptions as they happen: behind everybody's back."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from oms.common.v1.money_pb2 import Money
from oms.orchestrator.v1 import audit_pb2
from oms.orchestrator.v1 import order_process_admin_service_pb2 as pb
from tests.orchestrator.edge.harness.office import PATIENCE_SECONDS, Office


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """An audit that has come to its end."""

    pages: list[pb.AuditOrderProcessesResponse]

    @property
    def findings(self) -> list[audit_pb2.AuditFinding]:
        return [finding for page in self.pages for finding in page.findings]

    @property
    def kinds(self) -> list[str]:
        return sorted(kind_of(it) for it in self.findings)

    @property
    def summary(self) -> audit_pb2.AuditSummary:
        assert self.pages[-1].HasField("summary")
        return self.pages[-1].summary

    @property
    def money_at_risk(self) -> dict[str, tuple[int, int]]:
        """Held and captured, by currency."""
        return {
            it.held.currency_code: (it.held.minor_units, it.captured.minor_units)
            for it in self.summary.money_at_risk
        }


async def audit(office: Office, request: pb.AuditOrderProcessesRequest | None = None) -> Audited:
    """Audits to the end."""
    call = office.admin.AuditOrderProcesses(
        request or pb.AuditOrderProcessesRequest(), timeout=PATIENCE_SECONDS
    )
    try:
        return Audited(pages=[page async for page in call])
    finally:
        call.cancel()


def kind_of(finding: audit_pb2.AuditFinding) -> str:
    name = audit_pb2.AuditFindingKind.Name(finding.kind)
    return name.removeprefix("AUDIT_FINDING_KIND_")


def severity_of(finding: audit_pb2.AuditFinding) -> str:
    return audit_pb2.AuditSeverity.Name(finding.severity).removeprefix("AUDIT_SEVERITY_")


def usd(minor_units: int) -> Money:
    return Money(currency_code="USD", minor_units=minor_units)


def corrupt(folder: Path, name: str, statement: str, *values: object) -> None:
    """Changes a row of a service's database, without the service."""
    with closing(sqlite3.connect(folder / f"{name}.db", timeout=10)) as database:
        changed = database.execute(statement, values).rowcount
        database.commit()
    assert 1 == changed
