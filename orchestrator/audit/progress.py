"""How far an audit is, and what it has come to so far.

Invariant: small, whatever was looked at, and all that another call needs to go on: what it has
looked at it never looks at again, and its counts go on from these. This module must never hold a
finding.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from chassis.validation import INT64_MAX
from orchestrator.audit.finding import Finding, Kind, Risk, Severity

# The first window is this wide; those that follow are as wide as there is work for.
WIDTH_US: Final = 60_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What is audited, as it was asked for."""

    created_from_us: int | None = None
    created_before_us: int | None = None
    overdue_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much was looked at."""

    processes: int = 0
    orders: int = 0
    payments: int = 0
    deliveries: int = 0

    def plus(self, more: "Counts") -> "Counts":
        """Both together."""
        return Counts(
            processes=self.processes + more.processes,
            orders=self.orders + more.orders,
            payments=self.payments + more.payments,
            deliveries=self.deliveries + more.deliveries,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AtRisk:
    """Money of one currency that nobody answers for. Sums stop at what an int64 takes."""

    held: int = 0
    captured: int = 0
    payments: int = 0
    oldest_since_us: int

    def plus(self, risk: Risk, minor_units: int, since_us: int) -> "AtRisk":
        """With one payment more."""
        held = minor_units if risk is Risk.HELD else 0
        captured = minor_units if risk is Risk.CAPTURED else 0
        return AtRisk(
            held=min(self.held + held, INT64_MAX),
            captured=min(self.captured + captured, INT64_MAX),
            payments=self.payments + 1,
            oldest_since_us=min(self.oldest_since_us, since_us),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What an audit has come to."""

    counts: Counts = field(default_factory=Counts)
    kinds: Mapping[Kind, int] = field(default_factory=dict)
    at_risk: Mapping[str, AtRisk] = field(default_factory=dict)
    """By currency code."""
    wrong: bool = False
    """Whether anything was found that is more than information."""

    def plus(self, counts: Counts, findings: Iterable[Finding]) -> "Tally":
        """With one window more."""
        kinds, at_risk, wrong = dict(self.kinds), dict(self.at_risk), self.wrong
        for finding in findings:
            kinds[finding.kind] = kinds.get(finding.kind, 0) + 1
            wrong = wrong or finding.severity is not Severity.INFORMATION
            amount = finding.amount
            # What is for nothing cannot be lost.
            if finding.risk is not None and amount is not None and amount.minor_units:
                before = at_risk.get(amount.currency_code, AtRisk(oldest_since_us=finding.since_us))
                at_risk[amount.currency_code] = before.plus(
                    finding.risk, amount.minor_units, finding.since_us
                )
        return Tally(counts=self.counts.plus(counts), kinds=kinds, at_risk=at_risk, wrong=wrong)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an audit is."""

    range: Range
    until_us: int
    """Where it ends: fixed when it began, so that it does end while orders go on coming in."""
    position_us: int
    """Everything before this was looked at."""
    width_us: int = WIDTH_US
    """How wide the next window is."""
    tally: Tally = field(default_factory=Tally)

    @property
    def finished(self) -> bool:
        """Whether everything was looked at."""
        return self.position_us >= self.until_us

    def on(
        self, position_us: int, width_us: int, counts: Counts, findings: Iterable[Finding]
    ) -> "Progress":
        """One window further."""
        return replace(
            self,
            position_us=position_us,
            width_us=width_us,
            tally=self.tally.plus(counts, findings),
        )


def begun(range_: Range, now_us: int) -> Progress:
    """An audit that has looked at nothing yet."""
    before_us = range_.created_before_us
    return Progress(
        range=range_,
        until_us=now_us if before_us is None else min(before_us, now_us),
        position_us=max(range_.created_from_us or 0, 0),
    )
