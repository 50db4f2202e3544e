"""The log lines that were written, whatever the program's own logging is set to."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import structlog
from structlog.testing import LogCapture

from orchestrator import action, breaker, chronicle, recovery, retention, run, runner
from orchestrator.participants import purgers


class Lines:
    def __init__(self, capture: LogCapture) -> None:
        self._capture = capture

    def of(self, event: str) -> list[dict[str, Any]]:
        return [dict(entry) for entry in self._capture.entries if entry["event"] == event]

    def events(self, *levels: str) -> list[str]:
        return [entry["event"] for entry in self._capture.entries if entry["log_level"] in levels]


@contextmanager
def captured_lines() -> Iterator[Lines]:
    capture = LogCapture()
    logger = structlog.wrap_logger(
        None, processors=[structlog.contextvars.merge_contextvars, capture]
    )
    with (
        patch.object(action, "_log", logger),
        patch.object(breaker, "_log", logger),
        patch.object(chronicle, "_log", logger),
        patch.object(recovery, "_log", logger),
        patch.object(retention, "_log", logger),
        patch.object(purgers, "_log", logger),
        patch.object(run, "_log", logger),
        patch.object(runner, "_log", logger),
    ):
        yield Lines(capture)
