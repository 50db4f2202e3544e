"""Page tokens: where a list goes on, opaque to the caller.

Invariant: a token is good only with the filters that it was made for. Must never: raise anything
but `Invalid` on what a caller sent.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Final

from chassis.faults import Invalid, Violation
from chassis.validation import INT64_MAX, is_identifier

_VERSION: Final = 1
_TOKEN_LENGTH_MAX: Final = 512


def encode(filters: Mapping[str, object], after: tuple[int, str]) -> str:
    """A token for the page that follows the row `after` = (create_time_us, id).

    Filters are what JSON knows, and sets.
    """
    time_us, id_ = after
    text = json.dumps([_VERSION, _digest(filters), time_us, id_], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(token: str, filters: Mapping[str, object]) -> tuple[int, str] | None:
    """The (create_time_us, id) that the page follows; nothing for the first page.

    Raises:
        Invalid: the token was not made by `encode`, or with other filters.
    """
    if not token:
        return None
    if len(token) > _TOKEN_LENGTH_MAX or not token.isascii():
        raise _invalid("must be the next_page_token of an earlier answer")
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        content = json.loads(text)
    except (binascii.Error, ValueError, RecursionError):
        raise _invalid("must be the next_page_token of an earlier answer") from None
    match content:
        case [int(version), str(digest), int(time_us), str(id_)] if (
            # JSON's true is no number, though Python's is.
            type(version) is type(time_us) is int
            and version == _VERSION
            and 0 <= time_us <= INT64_MAX
            and is_identifier(id_)
        ):
            if digest != _digest(filters):
                raise _invalid("must be sent with the same filters as the page before it")
            return time_us, id_
        case _:
            raise _invalid("must be the next_page_token of an earlier answer")


def _digest(filters: Mapping[str, object]) -> str:
    text = json.dumps(filters, sort_keys=True, separators=(",", ":"), default=_sorted)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _sorted(value: object) -> list[object]:
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"a filter cannot be of type {type(value).__name__}")


def _invalid(description: str) -> Invalid:
    return Invalid([Violation(field="page_token", description=description)])
