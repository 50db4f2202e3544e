"""The kit, run as anybody runs it: `pytest --oms-participant …` in some folder of theirs.

Invariant: it is judged by its exit code and by the lines that it prints.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.system.harness.command import Finished, run

PATIENCE_SECONDS = 300.0
_PARTICIPANT = re.compile(r"^(?:order|payment|delivery)=\S+:\d+$")
_LINE = re.compile(r"^  (kept|BROKEN|unchecked|advice|skipped)\s+(\S+)  ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run of the kit has said. `lines`: participant → promise → what became of it."""

    finished: Finished
    lines: Mapping[str, Mapping[str, str]]

    @property
    def out(self) -> str:
        """Everything that it printed."""
        return self.finished.out + self.finished.err

    def promises(self, participant: str, *told: str) -> set[str]:
        """The promises of a participant of which one of these is told."""
        return {name for name, said in self.lines[participant].items() if said in told}


async def examine(
    participants: Sequence[str], *arguments: str, folder: Path, alone: bool = True
) -> Run:
    """Runs the kit against participants, each as "payment=host:port".

    `alone`: without the other plugins that are installed, which is quicker.
    """
    options = [option for it in participants for option in ("--oms-participant", it)]
    finished = await run(
        [
            sys.executable,
            *("-m", "pytest", "-p", "no:cacheprovider"),
            *(["-p", "oms-participant"] if alone else []),
            *options,
            *arguments,
        ],
        folder=folder,
        environment={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} if alone else {},
        patience_seconds=PATIENCE_SECONDS,
    )
    return Run(finished=finished, lines=_read(finished.out))


def _read(out: str) -> Mapping[str, Mapping[str, str]]:
    lines: dict[str, dict[str, str]] = {}
    participant = ""
    for line in out.splitlines():
        if _PARTICIPANT.match(line.rstrip()):
            participant = line.rstrip()
        elif found := _LINE.match(line):
            told, name = found.groups()
            assert name not in lines.setdefault(participant, {}), "one promise, one line"
            lines[participant][name] = told
    return lines
