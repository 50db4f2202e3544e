"""Makes an interleaving certain: several transactions have read before any of them writes."""

import threading
from typing import Any, Final

TIMEOUT_SECONDS: Final = 20


def meet(owner: object, reads: str, at: threading.Barrier) -> None:
    """The first time `owner` has read by the method called `reads` it waits for the others."""
    real = getattr(owner, reads)
    met = False

    def read(*arguments: Any, **named: Any) -> Any:
        nonlocal met
        found = real(*arguments, **named)
        if not met:
            met = True
            at.wait(TIMEOUT_SECONDS)
        return found

    vars(owner)[reads] = read
