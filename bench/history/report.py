"""What was found, in a table that can be pasted into a page.

Invariant: whatever does not hold is marked in its line. This module must never decide what holds.
"""

from collections.abc import Iterator, Mapping, Sequence

from bench.history.allowance import Line
from bench.history.touches import Plans, Touches

GROWS = "GROWS"


def table(
    lines: Mapping[Plans, Sequence[Line]], *, settled_short: int, settled_long: int
) -> Iterator[str]:
    """Deed by deed, in Markdown."""
    sizes = f"{settled_short:,} | {settled_long:,} | more, of what is allowed"
    titles = " | ".join(f"{plans} plan: {sizes}" for plans in lines)
    yield f"| pages touched | {titles} |"
    yield "|---|" + "--:|--:|--:|" * len(lines)
    for found in zip(*lines.values(), strict=True):
        yield f"| {found[0].name} | {' | '.join(map(_cells, found))} |"


def traffic_table(
    found: Mapping[str, Touches], *, processes: int, in_place: float
) -> Iterator[str]:
    """What claims cost before and after traffic."""
    yield f"{processes:,} processes of 6 appends each, not vacuumed:"
    for name, touches in found.items():
        yield f"  {name}: {touches.pages} pages"
    yield f"  changes of rows that no index was told of: {in_place:.0%}"


def _cells(line: Line) -> str:
    end = "" if line.holds else f" **{GROWS}**"
    if line.whole:
        end += f" reads all of {', '.join(sorted(line.whole))}"
    return f"{line.short:,} | {line.long:,} | {line.long - line.short:+,} of {line.allowed:,}{end}"
