"""How many functions are called: the work that a piece of Python does, in a number that is the same
on every machine and under every load.

Counted are calls of functions, those written in C included, and each time that a coroutine goes on.
The number depends on the version of Python a little, so a bound is one of PYTHON's.
"""

import gc
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

PYTHON: Final = (3, 11)

of_this_python: Final = pytest.mark.skipif(
    sys.version_info[:2] != PYTHON, reason=f"the bounds are those of Python {PYTHON}"
)


class Calls:
    """Those of one thread, by function, while it counts."""

    def __init__(self) -> None:
        self._by_name: Counter[str] = Counter()
        self._counts = False

    @property
    def total(self) -> int:
        return self._by_name.total()

    def most(self, of: int = 1) -> str:
        """The functions that were called most, for each of so many."""
        return "\n".join(
            f"{times / of:8.2f}  {name}" for name, times in self._by_name.most_common(60)
        )

    def begin(self) -> None:
        self._by_name.clear()
        self._counts = True

    def end(self) -> None:
        self._counts = False

    def saw(self, frame: Any, event: str, called: Any) -> None:
        if not self._counts:
            return
        if event == "call":
            self._by_name[f"{frame.f_code.co_filename}: {frame.f_code.co_qualname}"] += 1
        elif event == "c_call":
            self._by_name[f"C: {called.__qualname__}"] += 1


@contextmanager
def calls_here() -> Iterator[Calls]:
    """Those of this thread, within the block."""
    calls = Calls()
    calls.begin()
    # Who has himself told of collections would be counted as well.
    gc.disable()
    sys.setprofile(calls.saw)
    try:
        yield calls
    finally:
        sys.setprofile(None)
        gc.enable()
        calls.end()


@contextmanager
def threads_begun_here() -> Iterator[Calls]:
    """Those of the threads that are begun within the block, once they are to be counted."""
    calls = Calls()
    threading.setprofile(calls.saw)
    try:
        yield calls
    finally:
        threading.setprofile(None)


def calls_of(work: Callable[[], object]) -> Calls:
    """Those of a piece of work that was done before: nothing has to be made for the first time."""
    work()
    with calls_here() as calls:
        work()
    return calls
