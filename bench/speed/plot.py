"""Throughput and latency over the load, drawn.

Invariant: a point is the median of its rounds; both pictures, SVG and PNG, are drawn from the same
series. Must never: need more than Python for the SVG. The PNG needs matplotlib, which is in the
environment of `make setup-bench`: `python -m bench.speed.plot OUT.png`, the series on stdin.
"""

import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from bench.speed.figures import Slice, medians, p50_ms, per_second

WIDTH, HEIGHT = 1_040, 440
_PANEL_WIDTH, _PANEL_HEIGHT = 380, 320
_LEFT, _TOP, _GAP = 70, 50, 110
COLOURS: Final = ("#444444", "#0072b2", "#009e73", "#56b4e9", "#d55e00", "#cc79a7", "#e69f00")


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A contender's points: (in flight, value)."""

    name: str
    dashed: bool
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One of the two diagrams."""

    title: str
    unit: str
    logarithmic: bool
    series: Sequence[Series]


def panels(slices: Sequence[Slice]) -> tuple[Panel, Panel]:
    """Throughput, and latency with p50 whole and p99 dashed."""
    names = tuple(dict.fromkeys(it.contender for it in slices))
    return (
        Panel(
            title="throughput",
            unit="processes/s",
            logarithmic=False,
            series=[_series(slices, it, per_second) for it in names],
        ),
        Panel(
            title="latency (p50, dashed: p99)",
            unit="ms",
            logarithmic=True,
            series=[
                *(_series(slices, it, p50_ms) for it in names),
                *(_series(slices, it, lambda one: one.p99_ms, dashed=True) for it in names),
            ],
        ),
    )


def _series(
    slices: Sequence[Slice], name: str, of: Callable[[Slice], float], *, dashed: bool = False
) -> Series:
    found = medians([it for it in slices if it.contender == name], of)
    points = sorted((float(load), value) for (_, load), value in found.items())
    return Series(name=name, dashed=dashed, points=[it for it in points if math.isfinite(it[1])])


def svg(drawn: Sequence[Panel]) -> str:
    """Both diagrams as one picture."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
        '<g font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for place, panel in enumerate(drawn):
        parts.extend(_panel(panel, _LEFT + place * (_PANEL_WIDTH + _GAP)))
    return "\n".join([*parts, "</g></svg>", ""])


def _panel(panel: Panel, left: float) -> Iterator[str]:
    points = [it for series in panel.series for it in series.points]
    yield _text(left, _TOP - 20, f"{panel.title}, {panel.unit}", weight="bold")
    yield (
        f'<rect x="{left}" y="{_TOP}" width="{_PANEL_WIDTH}" height="{_PANEL_HEIGHT}" '
        f'fill="none" stroke="#999999"/>'
    )
    if not points:
        return
    across = _Scale([it[0] for it in points], _PANEL_WIDTH, logarithmic=True)
    up = _Scale([it[1] for it in points], _PANEL_HEIGHT, logarithmic=panel.logarithmic)
    bottom = _TOP + _PANEL_HEIGHT
    for load in sorted({it[0] for it in points}):
        yield _text(left + across.at(load), bottom + 16, f"{load:,.0f}", anchor="middle")
    yield _text(left + _PANEL_WIDTH / 2, bottom + 34, "in flight", anchor="middle")
    for value in up.ticks():
        y = bottom - up.at(value)
        yield (
            f'<line x1="{left}" x2="{left + _PANEL_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="#eeeeee"/>'
        )
        yield _text(left - 6, y + 4, f"{value:,g}", anchor="end")
    names = list(dict.fromkeys(it.name for it in panel.series))
    for series in panel.series:
        colour = COLOURS[names.index(series.name) % len(COLOURS)]
        line = " ".join(
            f"{left + across.at(x):.1f},{bottom - up.at(y):.1f}" for x, y in series.points
        )
        dashes = ' stroke-dasharray="4 4"' if series.dashed else ""
        yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'
        for x, y in series.points:
            yield (
                f'<circle cx="{left + across.at(x):.1f}" cy="{bottom - up.at(y):.1f}" r="3" '
                f'fill="{colour}"/>'
            )
    for place, name in enumerate(names):
        colour = COLOURS[place % len(COLOURS)]
        yield _text(left + _PANEL_WIDTH + 6, _TOP + 14 + 16 * place, name, colour=colour)


class _Scale:
    """Where a value lies between nothing and the length of an axis."""

    def __init__(self, values: Sequence[float], length: float, *, logarithmic: bool) -> None:
        self._length = length
        self._logarithmic = logarithmic
        self._least = min(values) if logarithmic else 0.0
        self._most = max(values)

    def at(self, value: float) -> float:
        least, most, here = self._least, self._most, value
        if self._logarithmic:
            least, most, here = (math.log(max(it, 1e-9)) for it in (least, most, here))
        return self._length * (here - least) / (most - least) if most > least else self._length / 2

    def ticks(self) -> list[float]:
        if self._logarithmic:
            first, last = (math.log10(max(it, 1e-9)) for it in (self._least, self._most))
            return [10.0**it for it in range(math.ceil(first), math.floor(last) + 1)]
        step = 10.0 ** math.floor(math.log10(max(self._most, 1e-9)))
        step = step if self._most / step >= 4 else step / 4
        return [step * it for it in range(math.floor(self._most / step) + 1)]


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    weight: str = "normal",
    colour: str = "#222222",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" '
        f'fill="{colour}">{escape(text)}</text>'
    )


def written(drawn: Sequence[Panel]) -> str:
    """The diagrams, for whoever draws them in another environment."""
    return json.dumps([asdict(it) for it in drawn])


def read(text: str) -> Sequence[Panel]:
    """What `written` wrote."""
    return [
        Panel(**{**panel, "series": [Series(**it) for it in panel["series"]]})
        for panel in json.loads(text)
    ]


def png(drawn: Sequence[Panel], path: Path) -> None:
    """Draws the PNG. Needs matplotlib."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - only where it is installed

    figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=150, layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(drawn)), drawn, strict=True):
        names = list(dict.fromkeys(it.name for it in panel.series))
        for it in panel.series:
            axes.plot(
                [x for x, _ in it.points],
                [y for _, y in it.points],
                marker="o",
                linestyle="--" if it.dashed else "-",
                color=COLOURS[names.index(it.name) % len(COLOURS)],
                label="_" if it.dashed else it.name,
            )
        axes.set_title(f"{panel.title}, {panel.unit}")
        axes.set_xscale("log", base=2)
        loads = sorted({x for it in panel.series for x, _ in it.points})
        axes.set_xticks(loads, [f"{it:,.0f}" for it in loads])
        axes.minorticks_off()
        axes.set_xlabel("in flight")
        axes.set_yscale("log" if panel.logarithmic else "linear")
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    png(read(sys.stdin.read()), Path(sys.argv[1]))
