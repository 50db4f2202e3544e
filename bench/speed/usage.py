"""What processes have used: processor time and memory, as Linux counts them.

Invariant: a process's time is that of all its threads, and of all its children, those that have
ended included: a database server's sessions come and go. Must never: count the reader's own.

A tick of the kernel's is 10 ms: over a slice of seconds that is less than a percent.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")

# In /proc/PID/stat, counted from behind the name: own time, and that of children that have ended.
_USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM = 11, 12, 13, 14


class NoUsage(Exception):  # noqa: N818 - named by what it means
    """A process that is watched is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What processes have used since they began."""

    cpu_seconds: float
    memory_bytes_now: int
    """What is in memory now, of the named processes alone."""
    memory_bytes_peak: int
    """The most that ever was, each process at its own worst moment."""


def usage_of(pids: Iterable[int], *, proc: Path = PROC) -> Usage:
    """What these processes and all their children have used together.

    Raises:
        NoUsage: One of them is not there.
    """
    named = tuple(pids)
    now, peak = zip(*(_memory(it, proc) for it in named), strict=True) if named else ((), ())
    ticks = sum(_ticks(it, proc) for it in named)
    return Usage(
        cpu_seconds=ticks / os.sysconf("SC_CLK_TCK"),
        memory_bytes_now=sum(now),
        memory_bytes_peak=sum(peak),
    )


def _ticks(pid: int, proc: Path) -> int:
    """Of a process, of those of its children that have ended, and of those that live."""
    try:
        text = (proc / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise NoUsage(f"process {pid} has ended") from error
    # The name stands in brackets, and may hold anything.
    fields = text.rpartition(")")[2].split()
    own = sum(int(fields[it]) for it in (_USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM))
    return own + sum(_ticks_of_child(it, proc) for it in _children(pid, proc))


def _ticks_of_child(pid: int, proc: Path) -> int:
    try:
        return _ticks(pid, proc)
    except NoUsage:
        # It has ended since it was listed; from now on its parent's line counts it.
        return 0


def _children(pid: int, proc: Path) -> list[int]:
    try:
        threads = list((proc / str(pid) / "task").iterdir())
        return [int(it) for thread in threads for it in (thread / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _memory(pid: int, proc: Path) -> tuple[int, int]:
    try:
        lines = (proc / str(pid) / "status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise NoUsage(f"process {pid} has ended") from error
    told = dict(it.split(":", 1) for it in lines if ":" in it)
    if "VmRSS" not in told:
        raise NoUsage(f"process {pid} has ended")
    return _kib(told["VmRSS"]) * 1024, _kib(told["VmHWM"]) * 1024


def _kib(text: str) -> int:
    return int(text.split(maxsplit=1)[0])
