"""What an audit found, as a person reads it.

Invariant: pure, oldest first, and bounded: of very many findings the oldest are kept, and all are
counted. This module must never write to a stream, nor ask a server.
"""

import bisect
from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from console.exits import Exit
from console.fitting import Fitting
from console.money import format_money
from console.rendering import moment
from console.wire import plain
from oms.orchestrator.v1 import audit_pb2 as pb
from oms.orchestrator.v1.order_process_admin_service_pb2 import AuditOrderProcessesResponse

_STYLES: Final = {
    pb.AUDIT_SEVERITY_INFORMATION: "yellow",
    pb.AUDIT_SEVERITY_WARNING: "red",
    pb.AUDIT_SEVERITY_CRITICAL: "bold red",
}


class Report:
    """The pages of an audit so far."""

    def __init__(self, *, kept_max: int) -> None:
        """`kept_max`: how many findings are shown at the most."""
        self._kept_max = kept_max
        self._kept: list[tuple[tuple[int, int, int], pb.AuditFinding]] = []
        self.found = 0
        self.resume_token = ""
        self.counts = pb.AuditCounts()
        self.summary: pb.AuditSummary | None = None
        self._audited_before = ""

    def add(self, page: AuditOrderProcessesResponse) -> None:
        """One page more."""
        for finding in page.findings:
            self.found += 1
            since = (finding.since.seconds, finding.since.nanos, self.found)
            bisect.insort(self._kept, (since, finding), key=lambda it: it[0])
            del self._kept[self._kept_max :]
        self.counts = page.counts
        self.resume_token = page.resume_token
        self._audited_before = moment(page.audited_before)
        if page.HasField("summary"):
            self.summary = page.summary

    @property
    def exit(self) -> Exit:
        """How the command ends. The audit must have come to its end."""
        assert self.summary is not None, "an audit that broke off ends otherwise"
        if self.summary.wrong:
            return Exit.WRONG
        # What is found and is not wrong is PARKED.
        return Exit.PARKED if self.summary.findings else Exit.DONE

    def progress(self) -> Text:
        """How far it is, on one line."""
        text = Text("auditing")
        if self._audited_before:
            text.append(f", up to {self._audited_before}: {_looked_at(self.counts)}")
        if self.found:
            text.append(f", {_plural(self.found, 'finding')}", style="red")
        return text

    def findings(self) -> RenderableType | None:
        """The oldest findings, and what to do about each sort; nothing where there are none."""
        if not self._kept:
            return None
        shown = [finding for _, finding in self._kept]
        parts: list[RenderableType] = [_findings(shown)]
        if self.found > len(shown):
            parts.append(Text(f"… and {self.found - len(shown)} more, which are younger"))
        parts += [Text(), *_advice(shown)]
        return Group(*parts)

    def ending(self) -> RenderableType:
        """What the whole audit comes to."""
        assert self.summary is not None, "an audit that broke off has no summary"
        lines = [Text(f"Audited {_looked_at(self.summary.counts)}.")]
        counted = ((it.count, kind_name(it.kind)) for it in self.summary.findings)
        lines += [Text(f"  {count:>6}  {name}") for count, name in counted]
        for risk in self.summary.money_at_risk:
            line = Text("Money at risk: ", style="bold red")
            line.append(f"{format_money(risk.held)} held, {format_money(risk.captured)} taken, in ")
            line.append(f"{_plural(risk.payments, 'payment')}; the oldest since ")
            lines.append(line.append(moment(risk.oldest_since)))
        match self.exit:
            case Exit.DONE:
                lines.append(Text("Nothing is wrong.", style="green"))
            case Exit.PARKED:
                lines.append(
                    Text("Nothing is wrong, but what is PARKED waits for a person.", style="yellow")
                )
            case _:
                lines.append(Text("Something is wrong.", style="bold red"))
        return Group(*lines)


def kind_name(kind: pb.AuditFindingKind.ValueType) -> str:
    """For example "ORPHAN_PAYMENT"."""
    if kind in pb.AuditFindingKind.values():
        return pb.AuditFindingKind.Name(kind).removeprefix("AUDIT_FINDING_KIND_")
    return f"KIND {kind}"


def _findings(findings: Sequence[pb.AuditFinding]) -> Fitting:
    """One line for each; two where there is no room for that."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("since", "finding", "of", "expected", "found"):
        table.add_column(column, no_wrap=True)
    table.add_column("amount", justify="right", no_wrap=True)
    narrow: list[RenderableType] = []
    for finding in findings:
        since = Text(moment(finding.since), style="dim")
        kind = Text(kind_name(finding.kind), style=_STYLES.get(finding.severity, ""))
        subject, expected, found = map(plain, (_subject(finding), finding.expected, finding.found))
        amount = format_money(finding.amount) if finding.HasField("amount") else ""
        table.add_row(since, kind, Text(subject), Text(expected), Text(found), amount)
        narrow.append(Text("  ").join([since, kind, Text(amount)][: 3 if amount else 2]))
        # Meant for pasting: our own ids are whole on any width, and none is ever cut off.
        beheld = [f"expected {expected}"] * bool(expected) + [f"found {found}"] * bool(found)
        narrow.append(Padding(Text(f"{subject}  {', '.join(beheld)}".rstrip()), (0, 0, 0, 2)))
    return Fitting(table, Group(*narrow))


def _subject(finding: pb.AuditFinding) -> str:
    """The process, or what belongs to none."""
    return finding.process_id or finding.order_id or finding.payment_id or finding.delivery_id


def _advice(findings: Iterable[pb.AuditFinding]) -> Iterable[RenderableType]:
    """What each sort of finding means and what to do, once."""
    told = dict.fromkeys((kind_name(it.kind), it.message) for it in findings)
    for kind, message in told:
        yield Text(kind, style="bold")
        yield Padding(Text(plain(message)), (0, 0, 0, 2))
    yield Text()


def _looked_at(counts: pb.AuditCounts) -> str:
    deliveries = "delivery" if counts.deliveries == 1 else "deliveries"
    return (
        f"{counts.processes} {'process' if counts.processes == 1 else 'processes'}, "
        f"{_plural(counts.orders, 'order')}, {_plural(counts.payments, 'payment')} and "
        f"{counts.deliveries} {deliveries}"
    )


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
