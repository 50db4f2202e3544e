"""What a run was made on.

Invariant: whoever reads the figures sees whether they can be trusted. Must never: name the machine.
"""

import os
import platform
import sqlite3
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

BUSY_LOAD_MAX = 0.5
"""Of the load average for each processor, before the run began."""


def described() -> Mapping[str, str]:
    """The machine and what runs on it, as it is now."""
    return {
        "processors": str(os.cpu_count()),
        "model": _model(),
        "load": f"{os.getloadavg()[0]:.1f}",
        "Python": platform.python_version(),
        "grpcio": version("grpcio"),
        "uvloop": version("uvloop"),
        "SQLite": sqlite3.sqlite_version,
    }


def busy() -> str:
    """Why figures of this moment are not to be trusted; empty, if they are."""
    processors = os.cpu_count() or 1
    load = os.getloadavg()[0]
    if load <= BUSY_LOAD_MAX * processors:
        return ""
    return (
        f"the machine is busy with other things (load {load:.1f} on {processors} processors): "
        f"measure again when it is quiet"
    )


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next(
        (it.split(":")[1].strip() for it in lines if "model name" in it), platform.machine()
    )
