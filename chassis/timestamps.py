"""Times on the wire and times inside.

Invariant: inside, a time is an int of microseconds since the Unix epoch, UTC. It must never round
a time that came from outside so that a filter lets through what it should not.
"""

from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from chassis.validation import Violations

# What google.protobuf.Timestamp allows: from the year 1 to the end of the year 9999.
_SECONDS_MIN: Final = -62_135_596_800
_SECONDS_MAX: Final = 253_402_300_799
_NANOS_MAX: Final = 999_999_999


def to_timestamp(time_us: int) -> Timestamp:
    """A time as it goes on the wire."""
    seconds, micros = divmod(time_us, 1_000_000)
    return Timestamp(seconds=seconds, nanos=micros * 1_000)


def set_time(field: Timestamp, time_us: int) -> None:
    """Sets a time that is part of a message: a third less work than to make one and copy it."""
    field.seconds = time_us // 1_000_000
    field.nanos = time_us % 1_000_000 * 1_000


def boundary_us(violations: Violations, field: str, time: Timestamp) -> int | None:
    """The boundary of a range of times; None where it is no valid time.

    Stored times are whole microseconds, so both "at or after" and "before" a time between two of
    them are the same as at or after, and before, the next whole one.
    """
    if not (_SECONDS_MIN <= time.seconds <= _SECONDS_MAX and 0 <= time.nanos <= _NANOS_MAX):
        violations.add(field, "must be a time between the years 1 and 9999")
        return None
    return time.seconds * 1_000_000 + -(-time.nanos // 1_000)
