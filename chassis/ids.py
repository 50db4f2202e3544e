"""Ids: a prefix that says of what, and a UUIDv7 that says when.

Invariant: what one source draws is strictly increasing, as text too, so ids sort by the time they
were drawn. Must never: draw the same suffix twice, even where the clock stands still or goes back.
"""

import os
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from chassis.clock import Clock

SUFFIX_LENGTH: Final = 26

# Crockford's alphabet in lower case: digits before letters, so the text sorts as the number does.
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS: Final = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_SHIFTS: Final = tuple(range(120, -1, -10))

_RANDOM_BITS: Final = 74
_RANDOM_MAX: Final = (1 << _RANDOM_BITS) - 1
_LOW_BITS: Final = 62
_LOW_MASK: Final = (1 << _LOW_BITS) - 1
_VERSION: Final = 0x7 << 76
_VARIANT: Final = 0b10 << 62

# Of those that run at the same time: the three of a process are asked for again and again.
_SIBLINGS_MAX: Final = 8_192


class IdSource:
    """Draws ids. Safe to share between threads."""

    def __init__(self, clock: Clock, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._clock = clock
        self._entropy = entropy
        self._lock = threading.Lock()
        self._millisecond = 0
        self._random = 0

    def suffix(self) -> str:
        """A fresh UUIDv7 as 26 characters of base32, greater than every one before it."""
        now = self._clock.now_us() // 1_000
        with self._lock:
            if now > self._millisecond:
                self._millisecond = now
                # The top bit stays free, so that a millisecond cannot run out of numbers.
                self._random = int.from_bytes(self._entropy(10), "big") & (_RANDOM_MAX >> 1)
            else:
                # A step of random width: the next id cannot be guessed from this one.
                self._random += 1 + int.from_bytes(self._entropy(4), "big")
                if self._random > _RANDOM_MAX:
                    self._millisecond += 1
                    self._random = int.from_bytes(self._entropy(10), "big") & (_RANDOM_MAX >> 1)
            millisecond, random = self._millisecond, self._random
        number = (
            (millisecond & 0xFFFF_FFFF_FFFF) << 80
            | _VERSION
            | (random >> _LOW_BITS) << 64
            | _VARIANT
            | (random & _LOW_MASK)
        )
        return "".join([_PAIRS[(number >> shift) & 0x3FF] for shift in _SHIFTS])

    def draw(self, prefix: str) -> str:
        """A fresh id, for example `ord_01jd…` for the prefix `ord`."""
        return f"{prefix}_{self.suffix()}"


def suffix_of(id_: str) -> str:
    """What follows the first underscore; empty where there is none."""
    return id_.partition("_")[2]


@lru_cache(maxsize=_SIBLINGS_MAX)
def sibling(prefix: str, id_: str) -> str:
    """The id of that kind that shares the suffix of another, as all of one process do."""
    return f"{prefix}_{id_.partition('_')[2]}"
