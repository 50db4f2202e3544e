"""A process on its way, shown while it moves.

Invariant: on a terminal the timeline is drawn over itself; elsewhere each step is one line on
stderr, written once, when it is over; with --json nothing is shown at all. This module must never
ask a server.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.spinner import Spinner
from rich.text import Text

from console import rendering
from console.following import RESTING
from console.terminal import Terminal
from console.wire import CallFailed
from oms.orchestrator.v1 import order_process_pb2 as pb


class Progress:
    """What is known of one process, and whether its server is there."""

    def __init__(self, terminal: Terminal, doing: str, *, tells_steps: bool = True) -> None:
        self._terminal = terminal
        self._doing = doing
        self._tells_steps = tells_steps and not terminal.as_json
        self._moves = terminal.out.is_terminal and not terminal.as_json
        self.process: pb.OrderProcess | None = None
        self._away: CallFailed | None = None
        self._told_away = False
        self._told: dict[tuple[str, int], pb.OrderProcessStepState.ValueType] = {}
        self._spinner = Spinner("dots", style="cyan")

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draws while inside; leaves nothing behind of what moved."""
        if not self._moves:
            yield
            return
        with Live(
            console=self._terminal.out,
            get_renderable=self._drawn,
            transient=True,
            refresh_per_second=10,
        ):
            yield

    def saw(self, process: pb.OrderProcess) -> None:
        """The process is now so."""
        if self._told_away and not self._terminal.as_json:
            self._terminal.note("It answers again.")
        self.process, self._away, self._told_away = process, None, False
        if not self._moves:
            self._tell_steps(process)

    def trouble(self, failed: CallFailed) -> None:
        """The server is away, or turned us away, for now."""
        if not self._moves and not self._told_away:
            self._told_away = True
            if not self._terminal.as_json:
                self._terminal.note(f"{failed.sentence()} Trying again.")
        self._away = failed

    def _drawn(self) -> RenderableType:
        parts: list[RenderableType] = []
        if self.process is not None:
            now = rendering.now()
            parts.append(rendering.process_heading(self.process, at=now))
            parts.append(Padding(rendering.steps_table(self.process, at=now), (1, 0, 1, 2)))
        if self.process is None or self.process.state not in RESTING:
            self._spinner.update(text=Text(self._doing, style="dim"))
            parts.append(self._spinner)
        if self._away is not None:
            parts.append(Text(f"{self._away.sentence()} Trying again.", style="yellow"))
        return Group(*parts)

    def _tell_steps(self, process: pb.OrderProcess) -> None:
        if not self._tells_steps:
            return
        for place, step in enumerate(process.steps):
            key = (step.name, place)
            over = step.state != pb.ORDER_PROCESS_STEP_STATE_RUNNING
            if over and self._told.get(key) != step.state:
                self._told[key] = step.state
                self._terminal.note(rendering.step_line(step, at=process.update_time))
