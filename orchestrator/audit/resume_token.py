"""Resume tokens: how far an audit is, opaque to whoever keeps one.

Invariant: what is decoded is what was encoded, or a progress of the same shape: a token that was
made up can spoil its own audit's counts and nothing else. Must never: raise anything but `Invalid`
on what a caller sent.
"""

import base64
import binascii
import json
import re
from typing import Final, Never

from chassis.faults import Invalid, Violation
from chassis.validation import INT64_MAX
from orchestrator.audit.finding import Kind
from orchestrator.audit.progress import AtRisk, Counts, Progress, Range, Tally

FIELD: Final = "resume_token"
_VERSION: Final = 1
# All currencies there are, with the largest sums, fit into it.
_LENGTH_MAX: Final = 64 * 1024
_OVERDUE_SECONDS_MAX: Final = 31_536_000
# In the year 5138: a time up to then, and twice as long as that, can be told on the wire.
_TIME_US_MAX: Final = 100_000_000_000_000_000
_CURRENCY_CODE: Final = re.compile(r"[A-Z]{3}")


def encode(progress: Progress) -> str:
    """A token that lets another audit go on from there."""
    tally, range_ = progress.tally, progress.range
    counts = tally.counts
    content = [
        _VERSION,
        [range_.created_from_us, range_.created_before_us, range_.overdue_seconds],
        [progress.until_us, progress.position_us, progress.width_us],
        [counts.processes, counts.orders, counts.payments, counts.deliveries],
        {kind.value: count for kind, count in tally.kinds.items()},
        {
            code: [risk.held, risk.captured, risk.payments, risk.oldest_since_us]
            for code, risk in tally.at_risk.items()
        },
        int(tally.wrong),
    ]
    text = json.dumps(content, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(token: str) -> Progress:
    """How far the audit was.

    Raises:
        Invalid: the token was not made by `encode`.
    """
    if len(token) > _LENGTH_MAX or not token.isascii():
        _refuse()
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        content = json.loads(text)
        return _progress(content)
    except (binascii.Error, ValueError, TypeError, AttributeError, RecursionError):
        _refuse()


def _progress(content: object) -> Progress:
    """Raises ValueError, TypeError or AttributeError where it is none."""
    if not isinstance(content, list):
        raise TypeError("a progress is a list")
    version, asked, place, counted, kinds, at_risk, wrong = content
    if version != _VERSION:
        raise ValueError("another version")
    created_from_us, created_before_us, overdue_seconds = asked
    until_us, position_us, width_us = _numbers(place, 3, high=_TIME_US_MAX)
    processes, orders, payments, deliveries = _numbers(counted, 4)
    [overdue_seconds] = _numbers([overdue_seconds], 1)
    [wrong] = _numbers([wrong], 1)
    if not 1 <= overdue_seconds <= _OVERDUE_SECONDS_MAX or width_us < 1:
        raise ValueError("out of range")
    return Progress(
        range=Range(
            created_from_us=_time(created_from_us),
            created_before_us=_time(created_before_us),
            overdue_seconds=overdue_seconds,
        ),
        until_us=until_us,
        position_us=position_us,
        width_us=width_us,
        tally=Tally(
            counts=Counts(
                processes=processes, orders=orders, payments=payments, deliveries=deliveries
            ),
            kinds={Kind(kind): _numbers([count], 1)[0] for kind, count in kinds.items()},
            at_risk={_currency_code(code): _at_risk(sums) for code, sums in at_risk.items()},
            wrong=bool(wrong),
        ),
    )


def _currency_code(code: str) -> str:
    if not _CURRENCY_CODE.fullmatch(code):
        raise ValueError("not a currency code")
    return code


def _at_risk(sums: object) -> AtRisk:
    held, captured, payments, oldest_since_us = _numbers(sums, 4)
    _numbers([oldest_since_us], 1, high=_TIME_US_MAX)
    return AtRisk(held=held, captured=captured, payments=payments, oldest_since_us=oldest_since_us)


def _numbers(values: object, count: int, *, high: int = INT64_MAX) -> list[int]:
    if not isinstance(values, list) or len(values) != count:
        raise TypeError("not as many numbers")
    for value in values:
        # JSON's true is no number, though Python's is.
        if type(value) is not int or not 0 <= value <= high:
            raise TypeError("not a number")
    return values


def _time(value: object) -> int | None:
    """A bound of the range, which may be before the epoch."""
    if value is None:
        return None
    if type(value) is not int or not -INT64_MAX <= value <= INT64_MAX:
        raise TypeError("not a time")
    return value


def _refuse() -> Never:
    raise Invalid(
        [Violation(field=FIELD, description="must be the resume_token of an audit's page")]
    )
