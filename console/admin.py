"""`oms admin`: what operators do with processes that are PARKED.

Invariant: nothing is retried or resolved that was not shown first, at the revision it was shown
at; who asks and why go into the history. This module must never answer its own question: without
--yes or --json a person confirms.
"""

import asyncio
import getpass
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import typer
from google.protobuf.timestamp_pb2 import Timestamp

from console import rendering
from console.exits import Exit
from console.options import AsJson, TargetOption, parse_moment, target_of
from console.processes import PAGE_SIZE_MAX, By, ByOption, Key, key_request, read_process
from console.terminal import BadInput, Terminal, as_dict
from console.wire import Connection, connect
from oms.orchestrator.v1.order_process_admin_service_pb2 import (
    OrderProcessRevision,
    ParkedOrderProcessFilter,
    ResolveOrderProcessRequest,
    RetryOrderProcessRequest,
)
from oms.orchestrator.v1.order_process_pb2 import ORDER_PROCESS_STATE_PARKED, OrderProcess
from oms.orchestrator.v1.order_process_service_pb2 import (
    GetOrderProcessRequest,
    ListOrderProcessesRequest,
)

_SHOWN_MAX: Final = 20
_FILTER: Final = "Instead of one process, all that are parked"

Reason = Annotated[str, typer.Option(help="Why, for the history.", show_default=False)]
RequestedBy = Annotated[
    str | None,
    typer.Option(help="Who asks, for the history.", show_default="your user name"),
]
Revision = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Act only if the process is still at this revision.",
        show_default="as it is now",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
StepFilter = Annotated[str, typer.Option("--step", help="Only on this undo.", show_default=False)]
ReasonFilter = Annotated[
    str, typer.Option("--parked-reason", help="Only for this reason.", show_default=False)
]
BeforeFilter = Annotated[
    str | None,
    typer.Option(
        "--parked-before", metavar="TIME", help="Only before this time.", show_default=False
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """Which parked processes are meant; what is empty lets everything through."""

    step: str
    reason: str
    before: Timestamp | None

    def lets_through(self, process: OrderProcess) -> bool:
        """Whether a parked process is one of those."""
        parking = process.parking
        return (
            (not self.step or parking.step == self.step)
            and (not self.reason or parking.reason == self.reason)
            and (self.before is None or _key(parking.park_time) < _key(self.before))
        )


def parked(
    ctx: typer.Context,
    *,
    step: StepFilter = "",
    parked_reason: ReasonFilter = "",
    parked_before: BeforeFilter = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at the most.")] = 100,
    target: TargetOption = None,
    as_json: AsJson = False,
) -> None:
    """Lists the processes that are PARKED: an undo cannot be done, a person must look.

    Once the cause is mended, have the undo tried afresh with `oms admin retry`.
    Where it was done by hand, say so with `oms admin resolve`.

    For example:

      oms admin parked
      oms admin parked --step cancel_payment --json

    Exit codes: 0 listed, 2 bad input, 1 anything else.
    """
    terminal = Terminal.open(as_json=as_json)
    with terminal.reporting():
        which = Parked(step=step, reason=parked_reason, before=_moment(parked_before))
        found = asyncio.run(_parked(target_of(ctx, target), which, limit=limit))
    terminal.document({"processes": [as_dict(process) for process in found]})
    if not found:
        terminal.say("Nothing is parked.")
        return
    terminal.say(rendering.parked_table(found, at=rendering.now()))


def retry(
    ctx: typer.Context,
    *,
    key: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="One process, by any of its ids.", show_default=False),
    ] = None,
    reason: Reason = "",
    every: Annotated[
        bool, typer.Option("--all", help="All of them.", rich_help_panel=_FILTER)
    ] = False,
    step: Annotated[
        str, typer.Option(help="On this undo.", rich_help_panel=_FILTER, show_default=False)
    ] = "",
    parked_reason: Annotated[
        str, typer.Option(help="For this reason.", rich_help_panel=_FILTER, show_default=False)
    ] = "",
    parked_before: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Before this time.", rich_help_panel=_FILTER, show_default=False
        ),
    ] = None,
    revision: Revision = None,
    requested_by: RequestedBy = None,
    by: ByOption = By.AUTO,
    yes: Yes = False,
    target: TargetOption = None,
    as_json: AsJson = False,
) -> None:
    """Has parked undos tried afresh: attempts and horizon begin anew.

    Shows what will be tried and asks first.

    For example:

      oms admin retry prc_06ft5m3v0nsxq8zv3bq7h1d2ka --reason "the gateway is back"
      oms admin retry --step cancel_payment --reason "the gateway is back"
      oms admin retry --all --reason "all is well again" --yes

    Exit codes: 0 they are being tried, 2 bad input, 1 anything else, for example
    that it is not parked (any more) or has moved on since --revision.
    """
    terminal = Terminal.open(as_json=as_json)
    with terminal.reporting():
        by_filter = bool(every or step or parked_reason or parked_before)
        if by_filter and key:
            raise BadInput("One process, or --all, --step and so on: not both.")
        if not by_filter and not key:
            raise BadInput(
                "Name one process, or say which: --all, --step, --parked-reason, --parked-before."
            )
        if by_filter and revision is not None:
            raise BadInput("--revision belongs to one process.")
        said = _said(reason, requested_by, example="the gateway is back")
        target = target_of(ctx, target)
        if key:
            process = asyncio.run(_one(target, key_request(key, by)))
            if process.state == ORDER_PROCESS_STATE_PARKED:
                _confirm(terminal, [process], "Try it afresh?", yes=yes)
            wanted = [_retry_of(process, revision, said)]
        else:
            which = Parked(step=step, reason=parked_reason, before=_moment(parked_before))
            found = asyncio.run(_parked(target, which, limit=None))
            if found:
                _confirm(terminal, found, f"Try {_count(found)} afresh?", yes=yes)
            wanted = _retries_of(which, found, said)
        done = asyncio.run(_retry(target, wanted))
    terminal.document({"processes": [as_dict(process) for process in done]})
    terminal.say("Nothing is parked." if not wanted else f"{_count(done)} tried afresh.")


def resolve(
    ctx: typer.Context,
    *,
    key: Key,
    reason: Reason = "",
    revision: Revision = None,
    requested_by: RequestedBy = None,
    by: ByOption = By.AUTO,
    yes: Yes = False,
    target: TargetOption = None,
    as_json: AsJson = False,
) -> None:
    """Says that a person has done the parked undo by hand.

    The remaining undos run, and the process keeps who said so.

    Nothing checks whether it was done: a payment that was not refunded by hand
    stays taken.

    For example:

      oms admin resolve prc_06ft5m3v0nsxq8zv3bq7h1d2ka --reason "refunded, case 4711"

    Exit codes: 0 the remaining undos run, 2 bad input, 1 anything else, for
    example that it is not parked (any more).
    """
    terminal = Terminal.open(as_json=as_json)
    with terminal.reporting():
        said = _said(reason, requested_by, example="refunded, case 4711")
        target = target_of(ctx, target)
        process = asyncio.run(_one(target, key_request(key, by)))
        step = process.parking.step or "the parked undo"
        if process.state == ORDER_PROCESS_STATE_PARKED:
            _confirm(terminal, [process], f"Has {step} been done by hand?", yes=yes)
        request = ResolveOrderProcessRequest(
            process=_at(process, revision), reason=said.reason, requested_by=said.requested_by
        )
        process = asyncio.run(_resolve(target, request))
    terminal.document({"process": as_dict(process)})
    terminal.say(f"{step} counts as done by hand, said by {said.requested_by}.")
    terminal.say(rendering.process_heading(process, at=rendering.now()))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What goes into the history."""

    reason: str
    requested_by: str


def _said(reason: str, requested_by: str | None, *, example: str) -> _Said:
    if not reason.strip():
        raise BadInput(f'Say why: --reason "{example}".')
    if requested_by is None:
        try:
            requested_by = getpass.getuser()
        except (KeyError, OSError):
            raise BadInput(
                "Your user has no name here; say who asks: --requested-by NAME."
            ) from None
    return _Said(reason=reason, requested_by=requested_by)


def _confirm(
    terminal: Terminal, processes: Sequence[OrderProcess], question: str, *, yes: bool
) -> None:
    terminal.say(rendering.parked_table(processes[:_SHOWN_MAX], at=rendering.now()))
    if len(processes) > _SHOWN_MAX:
        terminal.say(f"… and {len(processes) - _SHOWN_MAX} more")
    if not yes and not terminal.as_json and not typer.confirm(question):
        terminal.note("Nothing was done.")
        raise typer.Exit(Exit.FAILED)


def _at(process: OrderProcess, revision: int | None) -> OrderProcessRevision:
    seen = process.revision if revision is None else revision
    return OrderProcessRevision(process_id=process.process_id, revision=seen)


def _retry_of(process: OrderProcess, revision: int | None, said: _Said) -> RetryOrderProcessRequest:
    return RetryOrderProcessRequest(
        process=_at(process, revision), reason=said.reason, requested_by=said.requested_by
    )


def _retries_of(
    which: Parked, found: Sequence[OrderProcess], said: _Said
) -> list[RetryOrderProcessRequest]:
    """As many requests as it takes for what was shown, and nothing that was parked later.

    The bound is the newest of the times shown, by the server's own clock; so nothing that is parked
    again while we are at it is tried twice.
    """
    if not found:
        return []
    newest = max((process.parking.park_time for process in found), key=_key)
    after = Timestamp()
    after.FromMicroseconds(newest.ToMicroseconds() + 1)
    request = RetryOrderProcessRequest(
        filter=ParkedOrderProcessFilter(
            step=which.step, reason=which.reason, parked_before=after, limit=PAGE_SIZE_MAX
        ),
        reason=said.reason,
        requested_by=said.requested_by,
    )
    return [request] * -(-len(found) // PAGE_SIZE_MAX)


async def _retry(target: str, wanted: Sequence[RetryOrderProcessRequest]) -> list[OrderProcess]:
    done: list[OrderProcess] = []
    async with connect(target) as connection:
        for request in wanted:
            reply = await connection.call(connection.admin.RetryOrderProcess, request, timeout=60)
            done.extend(reply.processes)
    return done


async def _resolve(target: str, request: ResolveOrderProcessRequest) -> OrderProcess:
    async with connect(target) as connection:
        return (await connection.call(connection.admin.ResolveOrderProcess, request)).process


async def _one(target: str, request: GetOrderProcessRequest) -> OrderProcess:
    async with connect(target) as connection:
        return await read_process(connection, request)


async def _parked(target: str, which: Parked, *, limit: int | None) -> list[OrderProcess]:
    async with connect(target) as connection:
        return await _pages(connection, which, limit=limit)


async def _pages(connection: Connection, which: Parked, *, limit: int | None) -> list[OrderProcess]:
    found: list[OrderProcess] = []
    request = ListOrderProcessesRequest(
        page_size=PAGE_SIZE_MAX, states=[ORDER_PROCESS_STATE_PARKED]
    )
    while True:
        reply = await connection.call(connection.processes.ListOrderProcesses, request, timeout=60)
        found.extend(process for process in reply.processes if which.lets_through(process))
        if limit is not None and len(found) >= limit:
            return found[:limit]
        if not reply.next_page_token:
            return found
        request.page_token = reply.next_page_token


def _moment(text: str | None) -> Timestamp | None:
    return None if text is None else parse_moment(text)


def _key(time: Timestamp) -> tuple[int, int]:
    return time.seconds, time.nanos


def _count(processes: Sequence[OrderProcess]) -> str:
    return "1 process" if len(processes) == 1 else f"{len(processes)} processes"
