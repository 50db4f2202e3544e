"""Logs: one structured line per event, on stdout.

Invariant: every line, whoever wrote it, has the same keys, and the process_id where there is one.
Must never: log a password in a URL, nor the values of a failed frame's variables; nor fail whoever
logs, where a line cannot be written.
"""

import contextlib
import logging
import sys
from collections.abc import Sequence
from typing import Final, Literal, TextIO, cast

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from chassis.settings import redacted

LEVELS: Final = ("debug", "info", "warning", "error")


def configure(
    *,
    service: str,
    level: str,
    format: Literal["json", "console"],  # noqa: A002 - as the setting is called
) -> None:
    """Sends every log line of this process to stdout. Called once, before the first line."""
    assert level in LEVELS, level
    number = getattr(logging, level.upper())
    shared = _shared(service)
    rendered = _rendered(format)
    sink = cast("TextIO", _Sink(sys.stdout))
    structlog.configure(
        processors=[*shared, *rendered],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sink),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sink)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
        )
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(number)
    logging.captureWarnings(capture=True)
    # Tells of its own workings; what a migration did is told by chassis.migrations.
    logging.getLogger("alembic").setLevel(max(number, logging.WARNING))


class _Sink:
    """Standard output, whatever became of it: a full disk, a reader that has gone.

    A line that cannot be written is lost. What it tells of goes on: nothing fails for its log.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def _shared(service: str) -> Sequence[Processor]:
    def add_service(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event.setdefault("service", service)
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_service,
    ]


def _rendered(format_: Literal["json", "console"]) -> Sequence[Processor]:
    match format_:
        case "json":
            # Without the values of local variables: they hold requests and passwords.
            transformer = ExceptionDictTransformer(show_locals=False)
            return [
                structlog.processors.ExceptionRenderer(transformer),
                _without_passwords,
                structlog.processors.JSONRenderer(default=str),
            ]
        case "console":
            return [
                structlog.processors.format_exc_info,
                _without_passwords,
                structlog.dev.ConsoleRenderer(
                    colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
                ),
            ]


def _without_passwords(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        event[key] = _redacted(value)
    return event


def _redacted(value: object) -> object:
    match value:
        case str() if "://" in value:
            return redacted(value)
        case list():
            return [_redacted(it) for it in value]
        case dict():
            return {key: _redacted(it) for key, it in value.items()}
        case _:
            return value
