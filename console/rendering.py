"""How processes look to a person: tables, timelines and single events.

Invariant: pure; what is shown is derived from the messages and the time given, and nothing from
outside is read as markup. Times are UTC. This module must never write to a stream, nor ask a
server.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from console.fitting import Fitting
from console.money import format_money
from console.wire import plain
from oms.orchestrator.v1 import order_process_pb2 as pb

STATE_STYLES: Final = {
    "RUNNING": "cyan",
    "COMPENSATING": "yellow",
    "COMPLETED": "green",
    "CANCELLED": "magenta",
    "PARKED": "bold red",
}
_STEP_STYLES: Final = {
    "RUNNING": "cyan",
    "SUCCEEDED": "green",
    "REJECTED": "red",
    "UNKNOWN": "yellow",
    "RESOLVED_BY_HAND": "magenta",
}
_STEP_MARKS: Final = {
    "RUNNING": "…",
    "SUCCEEDED": "✓",
    "REJECTED": "✗",
    "UNKNOWN": "?",
    "RESOLVED_BY_HAND": "✓",
}


def state_name(state: pb.OrderProcessState.ValueType) -> str:
    """For example "COMPLETED"."""
    if state in pb.OrderProcessState.values():
        return pb.OrderProcessState.Name(state).removeprefix("ORDER_PROCESS_STATE_")
    return f"STATE {state}"


def step_state_name(state: pb.OrderProcessStepState.ValueType) -> str:
    """For example "SUCCEEDED"."""
    if state in pb.OrderProcessStepState.values():
        return pb.OrderProcessStepState.Name(state).removeprefix("ORDER_PROCESS_STEP_STATE_")
    return f"STATE {state}"


def kind_name(kind: pb.OrderProcessEventKind.ValueType) -> str:
    """For example "attempt began"."""
    if kind in pb.OrderProcessEventKind.values():
        name = pb.OrderProcessEventKind.Name(kind).removeprefix("ORDER_PROCESS_EVENT_KIND_")
        return name.replace("_", " ").lower()
    return f"kind {kind}"


def state_text(state: pb.OrderProcessState.ValueType) -> Text:
    """A state in its colour."""
    name = state_name(state)
    return Text(name, style=STATE_STYLES.get(name, ""))


def moment(time: Timestamp) -> str:
    """For example "2026-11-23 05:32:11Z"."""
    return f"{_datetime(time):%Y-%m-%d %H:%M:%S}Z"


def clock_time(time: Timestamp) -> str:
    """For example "05:32:11.123"."""
    return f"{_datetime(time):%H:%M:%S.%f}"[:-3]


def duration(seconds: float) -> str:
    """For example "12 ms", "1.2 s", "3 min 4 s", "2 h 5 min"."""
    if seconds < 0.9995:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def between(start: Timestamp, end: Timestamp) -> float:
    """Seconds from one to the other."""
    return (_microseconds(end) - _microseconds(start)) / 1e6


def now() -> Timestamp:
    """The time now, on this machine."""
    stamp = Timestamp()
    stamp.GetCurrentTime()
    return stamp


def steps_table(process: pb.OrderProcess, *, at: Timestamp) -> Table:
    """The timeline: each step and undo, how it went, when it began, how long it took until `at`."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", no_wrap=True)
    table.add_column("step", no_wrap=True)
    table.add_column("result", no_wrap=True)
    table.add_column("tries", justify="right", no_wrap=True)
    table.add_column("began", justify="right", no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    for step in process.steps:
        name = step_state_name(step.state)
        style = _STEP_STYLES.get(name, "")
        began = between(process.create_time, step.start_time)
        took = between(step.start_time, step.end_time if step.HasField("end_time") else at)
        table.add_row(
            Text(_mark(step), style=style),
            Text(plain(step.name)),
            Text(name.lower().replace("_", " "), style=style),
            str(step.attempts),
            Text(f"+{duration(began)}", style="dim"),
            Text(duration(took), style="dim"),
            _why(step.code, step.reason, step.message),
        )
    return table


def process_detail(process: pb.OrderProcess, *, at: Timestamp) -> Group:
    """One process, whole."""
    return Group(
        process_heading(process, at=at),
        Padding(_facts(process), (0, 0, 0, 2), expand=False),
        Text(),
        Padding(steps_table(process, at=at), (0, 0, 0, 2), expand=False),
        *_endings(process),
    )


def process_heading(process: pb.OrderProcess, *, at: Timestamp) -> Text:
    """The id, the state, and since when."""
    heading = Text().append(plain(process.process_id), style="bold").append("  ")
    heading.append_text(state_text(process.state))
    if process.HasField("end_time"):
        took = between(process.create_time, process.end_time)
        return heading.append(f" after {duration(took)}", style="dim")
    if process.state == pb.ORDER_PROCESS_STATE_PARKED:
        return heading.append(f" since {moment(process.parking.park_time)}", style="dim")
    took = between(process.create_time, at)
    return heading.append(f" for {duration(took)}", style="dim")


def process_table(processes: Iterable[pb.OrderProcess], *, at: Timestamp) -> Table:
    """Processes, one a line. On 80 columns too their ids are whole: they are there to be copied."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("process", no_wrap=True)
    table.add_column("state", no_wrap=True)
    # The one column that gives way where there is no room: its cells are cut, not wrapped.
    table.add_column("customer", max_width=24)
    table.add_column("total", justify="right", no_wrap=True)
    table.add_column("age", justify="right", no_wrap=True)
    for process in processes:
        table.add_row(
            plain(process.process_id),
            state_text(process.state),
            Text(plain(process.customer_id), no_wrap=True, overflow="ellipsis"),
            format_money(process.total),
            Text(duration(between(process.create_time, at)), style="dim"),
        )
    return table


def parked_table(processes: Iterable[pb.OrderProcess], *, at: Timestamp) -> Fitting:
    """What is PARKED: where, why, for how long, and the revision that a decision names."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("process", "step", "reason"):
        table.add_column(column, no_wrap=True)
    table.add_column("parked for", justify="right", no_wrap=True)
    table.add_column("revision", justify="right", no_wrap=True)
    narrow: list[RenderableType] = []
    for process in processes:
        parking = process.parking
        process_id, step = plain(process.process_id), Text(plain(parking.step))
        reason = Text(plain(parking.reason or parking.code), style="red")
        since = duration(between(parking.park_time, at))
        table.add_row(process_id, step, reason, Text(since, style="dim"), str(process.revision))
        heading = Text(process_id)
        heading.append(f"  parked for {since}, revision {process.revision}", style="dim")
        narrow += [heading, Padding(Text("  ").join([step, reason]), (0, 0, 0, 2))]
    return Fitting(table, Group(*narrow))


def event_line(event: pb.OrderProcessEvent) -> Table:
    """One event of a history, on one line; where that is too long, it goes on beside the time."""
    kind = kind_name(event.kind)
    line = Text().append(kind.ljust(18), style=STATE_STYLES.get(kind.upper(), ""))
    if event.step:
        line.append(f"  {plain(event.step)}")
        if event.attempt:
            line.append(f" #{event.attempt}", style="dim")
    if event.outcome:
        good = event.outcome == "succeeded"
        line.append(f"  {plain(event.outcome)}", style="green" if good else "yellow")
    why = _why(event.code, event.reason, event.message)
    if why:
        line.append("  ").append_text(why)
    if event.requested_by:
        line.append(f"  by {plain(event.requested_by)}", style="dim")
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_column(style="dim", no_wrap=True)
    row.add_column(overflow="fold")
    row.add_row(f"{event.revision:>3}  {clock_time(event.event_time)}", line)
    return row


def step_line(step: pb.OrderProcessStep, *, at: Timestamp) -> Text:
    """One step on one line, for where nothing can be drawn over."""
    name = step_state_name(step.state)
    line = Text(f"{_mark(step)} {plain(step.name)}").append("  ")
    line.append(name.lower().replace("_", " "), style=_STEP_STYLES.get(name, ""))
    tries = "1 try" if step.attempts == 1 else f"{step.attempts} tries"
    took = between(step.start_time, step.end_time if step.HasField("end_time") else at)
    line.append(f"  {tries}, {duration(took)}", style="dim")
    why = _why(step.code, step.reason, step.message)
    return line.append("  ").append_text(why) if why else line


def _facts(process: pb.OrderProcess) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("request", Text(plain(process.request_id)))
    table.add_row("customer", Text(plain(process.customer_id)))
    table.add_row("total", format_money(process.total))
    table.add_row("order", plain(process.order_id))
    table.add_row("payment", plain(process.payment_id))
    table.add_row("delivery", plain(process.delivery_id))
    table.add_row("accepted", moment(process.create_time))
    if process.state == pb.ORDER_PROCESS_STATE_RUNNING:
        table.add_row("deadline", moment(process.deadline))
    if process.HasField("next_attempt_time"):
        table.add_row("next try", moment(process.next_attempt_time))
    table.add_row("revision", str(process.revision))
    return table


def _endings(process: pb.OrderProcess) -> list[RenderableType]:
    """Why it turned back, why it is parked, and what was done by hand."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    if process.HasField("failure"):
        failure = process.failure
        at = Text(f"{plain(failure.step)}: " if failure.step else "")
        why = _why(failure.code, failure.reason, failure.message)
        table.add_row("turned back", at.append_text(why))
    if process.HasField("parking"):
        parking = process.parking
        at = Text(f"{plain(parking.step)}: " if parking.step else "")
        why = _why(parking.code, parking.reason, parking.message)
        table.add_row("parked", at.append_text(why))
    for resolution in process.resolved_by_hand:
        said = f"{plain(resolution.step)}: {plain(resolution.reason)}"
        by = f"  {plain(resolution.requested_by)}, {moment(resolution.resolve_time)}"
        table.add_row("done by hand", Text(said).append(by, style="dim"))
    return [Text(), Padding(table, (0, 0, 0, 2), expand=False)] if table.row_count else []


def _mark(step: pb.OrderProcessStep) -> str:
    if step.undo and step.state == pb.ORDER_PROCESS_STEP_STATE_SUCCEEDED:
        return "↩"
    return _STEP_MARKS.get(step_state_name(step.state), " ")


def _why(code: str, reason: str, message: str) -> Text:
    """What was answered, where it was not simply OK."""
    if code == "OK" and not reason:
        return Text()
    text = Text(plain(reason or code))
    if message:
        text.append(f"  {plain(message)}", style="dim")
    return text


def _datetime(time: Timestamp) -> datetime:
    try:
        return time.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        # A time that no calendar has; a server that sends it is wrong, not this table.
        return datetime.fromtimestamp(0, tz=UTC)


def _microseconds(time: Timestamp) -> int:
    return time.seconds * 1_000_000 + time.nanos // 1_000
