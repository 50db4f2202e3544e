"""`oms audit`: pages, the report, exit codes, and going on."""

import io

import grpc
import pytest
from rich.console import Console

from console.audit_report import Report
from console.exits import Exit
from oms.common.v1.money_pb2 import Money
from oms.orchestrator.v1 import audit_pb2
from oms.orchestrator.v1 import order_process_admin_service_pb2 as pb
from tests.console.harness.command import oms
from tests.console.harness.fake_orchestrator import FakeOrchestrator, at
from tests.console.harness.faults import Fault, invalid

DOWN = Fault(
    code=grpc.StatusCode.UNAVAILABLE,
    reason="PARTICIPANT_UNAVAILABLE",
    message="the payment service does not answer as it should",
)


@pytest.fixture
def audited(orchestrator: FakeOrchestrator) -> FakeOrchestrator:
    return orchestrator


def finding(number: int, *, parked: bool = False) -> audit_pb2.AuditFinding:
    return audit_pb2.AuditFinding(
        kind=(
            audit_pb2.AUDIT_FINDING_KIND_PROCESS_PARKED
            if parked
            else audit_pb2.AUDIT_FINDING_KIND_ORPHAN_PAYMENT
        ),
        severity=(
            audit_pb2.AUDIT_SEVERITY_INFORMATION if parked else audit_pb2.AUDIT_SEVERITY_CRITICAL
        ),
        payment_id=f"pay_{number}",
        expected="nothing",
        found="CONFIRMED",
        amount=Money(currency_code="USD", minor_units=700),
        since=at(number),
        message="Find out who made it.",
    )


def page(
    token: str, *findings: audit_pb2.AuditFinding, processes: int = 0
) -> pb.AuditOrderProcessesResponse:
    return pb.AuditOrderProcessesResponse(
        findings=findings,
        counts=audit_pb2.AuditCounts(processes=processes, orders=1, payments=2, deliveries=1),
        resume_token=token,
    )


def last(
    *kinds: audit_pb2.AuditFindingKind.ValueType, wrong: bool = False
) -> pb.AuditOrderProcessesResponse:
    return pb.AuditOrderProcessesResponse(
        summary=audit_pb2.AuditSummary(
            counts=audit_pb2.AuditCounts(processes=1, orders=1, payments=2, deliveries=1),
            findings=[audit_pb2.AuditFindingCount(kind=kind, count=1) for kind in kinds],
            money_at_risk=[
                audit_pb2.AuditMoneyAtRisk(
                    held=Money(currency_code="USD", minor_units=0),
                    captured=Money(currency_code="USD", minor_units=700),
                    payments=1,
                    oldest_since=at(0),
                )
                for kind in kinds
            ],
            wrong=wrong,
        )
    )


WRONG = last(audit_pb2.AUDIT_FINDING_KIND_ORPHAN_PAYMENT, wrong=True)


def requests(audited: FakeOrchestrator) -> list[pb.AuditOrderProcessesRequest]:
    asked = []
    for request in audited.requests["AuditOrderProcesses"]:
        assert isinstance(request, pb.AuditOrderProcessesRequest)
        asked.append(request)
    return asked


def test_where_all_agree_it_says_so(audited: FakeOrchestrator) -> None:
    audited.audits.append([page("a"), page("b", processes=1), last()])
    ran = oms("audit")
    assert Exit.DONE is ran.exit
    assert "Audited 1 process, 1 order, 2 payments and 1 delivery.\n" in ran.out
    assert ran.out.endswith("Nothing is wrong.\n")


def test_findings_are_shown_oldest_first_with_what_to_do_and_the_money_at_risk(
    audited: FakeOrchestrator,
) -> None:
    audited.audits.append([page("a", finding(60_000)), page("b", finding(30_000)), WRONG])
    ran = oms("audit")
    assert Exit.WRONG is ran.exit
    lines = ran.out.splitlines()
    assert ["pay_30000", "pay_60000"] == [it.split()[3] for it in lines[1:3]]
    assert "7.00 USD" in lines[1]
    assert 1 == ran.out.count("Find out who made it.")
    assert "Money at risk: 0.00 USD held, 7.00 USD taken, in 1 payment; the oldest" in ran.out
    assert ran.out.endswith("Something is wrong.\n")


def test_what_is_parked_and_not_wrong_has_an_exit_code_of_its_own(
    audited: FakeOrchestrator,
) -> None:
    parked = last(audit_pb2.AUDIT_FINDING_KIND_PROCESS_PARKED)
    audited.audits.append([page("a", finding(1, parked=True)), parked])
    ran = oms("audit")
    assert Exit.PARKED is ran.exit
    assert "waits for a person" in ran.out


def test_of_very_many_findings_the_oldest_are_shown(audited: FakeOrchestrator) -> None:
    audited.audits.append([page("a", *(finding(number) for number in range(50))), WRONG])
    ran = oms("audit", "--limit", "3")
    assert "pay_2" in ran.out
    assert "pay_3 " not in ran.out
    assert "… and 47 more, which are younger" in ran.out


def test_in_json_each_page_is_a_line(audited: FakeOrchestrator) -> None:
    audited.audits.append([page("a"), page("b", finding(1)), WRONG])
    ran = oms("audit", "--json")
    assert Exit.WRONG is ran.exit
    first, second, end = ran.json_lines
    assert ("a", []) == (first["resume_token"], first["findings"])
    assert "AUDIT_FINDING_KIND_ORPHAN_PAYMENT" == second["findings"][0]["kind"]
    assert end["summary"]["wrong"] is True
    assert "700" == end["summary"]["money_at_risk"][0]["captured"]["minor_units"]


def test_an_audit_that_breaks_off_shows_what_it_found_and_how_to_go_on(
    audited: FakeOrchestrator,
) -> None:
    audited.audits.append([page("a"), page("b", finding(1)), DOWN])
    ran = oms("audit")
    assert Exit.FAILED is ran.exit
    assert "pay_1" in ran.out
    assert "PARTICIPANT_UNAVAILABLE" in ran.err
    assert "To go on with it: oms audit --resume b\n" in ran.err


def test_an_audit_goes_on_from_a_token(audited: FakeOrchestrator) -> None:
    audited.audits.append([page("b"), last()])
    assert Exit.DONE is oms("audit", "--resume", "b").exit
    (request,) = requests(audited)
    assert pb.AuditOrderProcessesRequest(resume_token="b") == request


def test_an_audit_that_outlasts_one_call_goes_on_with_another(
    audited: FakeOrchestrator,
) -> None:
    out_of_time = Fault(code=grpc.StatusCode.DEADLINE_EXCEEDED)
    audited.audits.append([page("a"), page("b", finding(1)), out_of_time])
    audited.audits.append([page("b"), page("c", finding(2)), WRONG])
    ran = oms("audit", "--since", "2026-11-23", "--json")
    assert Exit.WRONG is ran.exit
    first, second = requests(audited)
    assert first.HasField("create_time_after")
    assert pb.AuditOrderProcessesRequest(resume_token="b") == second


def test_an_audit_that_gets_nowhere_is_given_up(audited: FakeOrchestrator) -> None:
    out_of_time = Fault(code=grpc.StatusCode.DEADLINE_EXCEEDED)
    audited.audits.append([page("a"), out_of_time])
    audited.audits.append([page("a"), out_of_time])
    assert Exit.FAILED is oms("audit").exit
    assert 2 == len(requests(audited))


def test_the_range_and_the_patience_are_passed_on(audited: FakeOrchestrator) -> None:
    audited.audits.append([last()])
    oms("audit", "--since", "2026-11-23T05:00", "--until", "2026-11-24", "--overdue", "60")
    (request,) = requests(audited)
    assert 1795410000 == request.create_time_after.seconds
    assert 1795478400 == request.create_time_before.seconds
    assert 60 == request.overdue_seconds


def test_what_cannot_be_read_is_bad_input(audited: FakeOrchestrator) -> None:
    assert Exit.BAD_INPUT is oms("audit", "--since", "yesterday").exit
    audited.audits.append([invalid(("resume_token", "must be the resume_token of a page"))])
    ran = oms("audit", "--resume", "nonsense")
    assert Exit.BAD_INPUT is ran.exit
    assert "resume_token" in ran.err


def test_text_of_the_server_cannot_steer_the_terminal(audited: FakeOrchestrator) -> None:
    evil = finding(1)
    evil.message = "\x1b[2Jgone [bold]"
    evil.found = "\x1b]0;title"
    audited.audits.append([page("a", evil), WRONG])
    ran = oms("audit")
    assert "\x1b" not in ran.out
    assert "[bold]" in ran.out


@pytest.mark.parametrize("width", [80, 60])
def test_nothing_of_a_finding_is_lost_on_a_narrow_terminal(width: int) -> None:
    report = Report(kept_max=10)
    unlike = finding(1)
    unlike.kind = audit_pb2.AUDIT_FINDING_KIND_PAYMENT_STATE_MISMATCH
    unlike.process_id = "prc_01m83ns51nenkss2x92pa9xeqr"
    unlike.expected, unlike.found = "payment CONFIRMED", "payment CANCELLED"
    report.add(page("t", unlike))
    told = io.StringIO()
    found = report.findings()
    assert found is not None
    Console(file=told, width=width).print(found)
    shown = told.getvalue()
    assert max(map(len, shown.splitlines())) <= width
    whole = " ".join(shown.split())
    assert unlike.process_id in whole
    assert "expected payment CONFIRMED, found payment CANCELLED" in whole
    assert "PAYMENT_STATE_MISMATCH 7.00 USD" in whole
