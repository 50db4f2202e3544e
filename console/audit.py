"""`oms audit`: whether the saga log, the orders, the payments and the deliveries agree.

Invariant: exit code 0 only where the audit came to its end and found nothing at all; whatever broke
it off, what is needed to go on is said. This module must never judge: the server does.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import grpc
import grpc.aio
import typer
from google.protobuf.timestamp_pb2 import Timestamp
from rich.live import Live
from rich.spinner import Spinner

from console.audit_report import Report
from console.options import AsJson, TargetOption, parse_moment, target_of
from console.terminal import Terminal, as_dict
from console.wire import CallFailed, Connection, connect, read_error
from oms.orchestrator.v1.order_process_admin_service_pb2 import (
    AuditOrderProcessesRequest,
    AuditOrderProcessesResponse,
)

# The deadline of one call. An audit that takes longer goes on with another.
CALL_SECONDS: Final = 300.0
OVERDUE_SECONDS_MAX: Final = 31_536_000

HELP: Final = """
Compares the saga log with what the three participants keep.

Finds payments, orders and deliveries that no process knows, what is left of
cancelled orders, amounts that differ, what completed orders lack, and
processes that nobody moves on; lists what is PARKED; and adds up the money
that nobody answers for. It changes nothing, may run while orders do, and
reports nothing that is merely under way. What each finding means and what
to do about it: docs/audit.md.

With --json each page is one line; the last one has the summary.

An audit that breaks off, because a participant is down, says how to go on.

For example:

  oms audit
  oms audit --since 2026-11-23T00:00 --until 2026-11-24T00:00
  oms audit --resume TOKEN
  oms audit --json | jq -c '.findings[]'
  oms audit --json | tail -n 1 | jq .summary.money_at_risk

Exit codes:

  0  everything agrees
  4  everything agrees, but something is PARKED
  6  something is wrong
  2  bad input
  1  anything else: the audit did not come to its end
"""


def audit(
    ctx: typer.Context,
    *,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Only what was accepted then or later.", show_default=False
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only what was accepted before.", show_default="now"),
    ] = None,
    overdue: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=OVERDUE_SECONDS_MAX,
            metavar="SECONDS",
            help="A process that is due is overdue after this long.",
            show_default="300",
        ),
    ] = None,
    resume: Annotated[
        str,
        typer.Option(metavar="TOKEN", help="Go on where an audit broke off.", show_default=False),
    ] = "",
    limit: Annotated[
        int, typer.Option(min=1, max=10_000, help="How many findings to show; the oldest.")
    ] = 100,
    target: TargetOption = None,
    as_json: AsJson = False,
) -> None:
    """Compares the saga log with what the three participants keep."""
    terminal = Terminal.open(as_json=as_json)
    report = Report(kept_max=limit)
    with terminal.reporting():
        request = AuditOrderProcessesRequest(
            create_time_after=_moment(since),
            create_time_before=_moment(until),
            overdue_seconds=overdue or 0,
            resume_token=resume,
        )

        def turned(page: AuditOrderProcessesResponse) -> None:
            report.add(page)
            terminal.line(as_dict(page))

        try:
            with _shown(terminal, report):
                asyncio.run(_audit(target_of(ctx, target), request, turned))
        except (CallFailed, KeyboardInterrupt):
            _say_findings(terminal, report)
            if report.resume_token and not as_json:
                terminal.note(f"To go on with it: oms audit --resume {report.resume_token}")
            raise
    _say_findings(terminal, report)
    if not as_json:
        terminal.say(report.ending())
    raise typer.Exit(report.exit)


async def _audit(
    target: str,
    request: AuditOrderProcessesRequest,
    turned: Callable[[AuditOrderProcessesResponse], None],
) -> None:
    async with connect(target) as connection:
        while True:
            token, ended = await _read_on(connection, request, turned)
            if ended:
                return
            request = AuditOrderProcessesRequest(resume_token=token)


async def _read_on(
    connection: Connection,
    request: AuditOrderProcessesRequest,
    turned: Callable[[AuditOrderProcessesResponse], None],
) -> tuple[str, bool]:
    """The pages of one call: where they end, and whether that is the end of the audit.

    Raises `CallFailed` where it ended before it got any further than where it began.
    """
    token = request.resume_token
    call = connection.admin.AuditOrderProcesses(request, timeout=CALL_SECONDS)
    try:
        async for page in call:
            token = page.resume_token
            turned(page)
            if page.HasField("summary"):
                return token, True
    except grpc.aio.AioRpcError as error:
        out_of_time = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        if not out_of_time or token == request.resume_token:
            raise read_error(error, target=connection.target) from None
        return token, False
    finally:
        call.cancel()
    raise CallFailed(
        target=connection.target,
        code=grpc.StatusCode.INTERNAL,
        message="the audit ended without a summary",
    )


@contextmanager
def _shown(terminal: Terminal, report: Report) -> Iterator[None]:
    """Draws how far it is while inside, where somebody looks; leaves nothing of it behind."""
    if not terminal.err.is_terminal or terminal.as_json:
        yield
        return
    spinner = Spinner("dots", style="cyan")

    def drawn() -> Spinner:
        spinner.update(text=report.progress())
        return spinner

    with Live(console=terminal.err, get_renderable=drawn, transient=True, refresh_per_second=10):
        yield


def _say_findings(terminal: Terminal, report: Report) -> None:
    findings = report.findings()
    if findings is not None:
        terminal.say(findings)


def _moment(text: str | None) -> Timestamp | None:
    return None if text is None else parse_moment(text)
