"""One operating system process of a test.

Invariant: a process that was started is ended: by `close`, and, should the tests themselves be
killed, by the kernel.
Must never: leave out what the process said; all of it is in its log file, and a failing test shows
the end of it.
"""

import asyncio
import contextlib
import os
import signal
import sys
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

_TETHER = Path(__file__).with_name("tether.py")
# Whose logs a failing test shows. Weak: what a finished test has let go of is of no interest any
# more.
STARTED: "weakref.WeakSet[Process]" = weakref.WeakSet()

# How long anything of a test may take before it counts as never. Long: the machine may be slow, and
# no test measures.
PATIENCE_SECONDS = 60.0


class Process:
    """A running command. Its output, both streams, is appended to `log`."""

    def __init__(self, name: str, child: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        self._child = child

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        heard: bool = False,
    ) -> Self:
        """Starts a command in `folder`, with `environment` for our own OMS_ variables.

        `heard`: its standard output is read with `line`, and reaches the log as it is read.
        """
        log = folder / f"{name}.log"
        with log.open("ab") as sink:
            child = await asyncio.create_subprocess_exec(
                *tethered(command),
                cwd=folder,
                env=clean_environment(environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if heard else sink,
                stderr=sink,
                limit=1024 * 1024,
                start_new_session=True,
            )
        process = cls(name, child, log)
        STARTED.add(process)
        return process

    @property
    def pid(self) -> int:
        """The id of the process, which is also that of its process group."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended, as far as is known."""
        return self._child.returncode is None

    async def line(self, *, patience_seconds: float = PATIENCE_SECONDS) -> str:
        """The next line that it says; fails where it ended without another."""
        assert self._child.stdout is not None, "it was not started to be heard"
        async with asyncio.timeout(patience_seconds):
            line = await self._child.stdout.readline()
        assert line, f"{self.name} ended:\n{self.tail()}"
        with self.log.open("ab") as log:
            log.write(line)
        return line.decode()

    def send(self, number: signal.Signals) -> None:
        """Sends a signal, to this process alone."""
        self._child.send_signal(number)

    async def ended(self) -> int:
        """Waits for its end. Returns the exit code; negative: the signal that ended it."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._child.wait()

    async def kill(self) -> None:
        """kill -9, and waits until it is gone."""
        if self.running:
            self.send(signal.SIGKILL)
        await self.ended()

    async def close(self) -> None:
        """Ends it and whatever it started, if there is anything left to end."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        await self.ended()

    def tail(self, *, lines_max: int = 80) -> str:
        """The end of what it said."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines_max:])


def tethered(command: Sequence[str]) -> list[str]:
    """The command, to be started so that it does not outlive us."""
    return [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), *command]


def clean_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Our own environment without its OMS_ variables, and with `settings`.

    Nor does whoever runs the tests say how wide a terminal is: nobody looks at one here.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("OMS_") and name != "COLUMNS"
    }
    return inherited | {"PYTHONUNBUFFERED": "1", **settings}
