"""A service's log line for a person.

Invariant: one line in, one line out, and nothing of it is lost that is not said otherwise; what
is not a JSON object comes out as it went in. This module must never fail on what a service wrote.
"""

import json
from typing import Final

from rich.text import Text

from console.wire import plain

_LENGTH_MAX: Final = 64 * 1024
_LEVEL_STYLES: Final = {"warning": "yellow", "error": "red", "critical": "bold red"}
# Said by the line's place: its time, its level, its event; the service's name stands before it.
_PLACED: Final = frozenset({"timestamp", "level", "event", "service"})


def whole(line: str) -> Text:
    """The line as it is, for where a program may read it."""
    return Text(plain(line, length_max=_LENGTH_MAX))


def compact(line: str) -> Text:
    """The line, short, for a person."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return Text(plain(line))
    if not isinstance(record, dict):
        return Text(plain(line))
    level = str(record.get("level", ""))
    style = _LEVEL_STYLES.get(level, "")
    text = Text().append(_time(record.get("timestamp")), style="dim")
    text.append(f"{level.ljust(7)}  " if style else "", style=style)
    text.append(plain(str(record.get("event", ""))), style=style)
    for name, value in record.items():
        if name not in _PLACED:
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            text.append(f"  {plain(name)}=", style="dim").append(plain(shown))
    return text


def _time(timestamp: object) -> str:
    """The time of day of an ISO time."""
    if not isinstance(timestamp, str) or "T" not in timestamp:
        return ""
    return plain(timestamp.split("T", 1)[1][:12]) + "  "
