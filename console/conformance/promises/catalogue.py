"""All promises, in the order in which they are looked at: the simplest first.

Invariant: no two have one name. It must never leave one out by the state of anything: kinds and
knobs decide, and say so.
"""

from typing import Final

from console.conformance.promise import Promise
from console.conformance.promises import (
    cancelling,
    confirming,
    creating,
    deadlines,
    faults,
    invalid,
    listing,
    racing,
    refusing,
    serving,
)

PROMISES: Final[tuple[Promise, ...]] = (
    *creating.PROMISES,
    *serving.PROMISES,
    *refusing.PROMISES,
    *cancelling.PROMISES,
    *confirming.PROMISES,
    *faults.PROMISES,
    *invalid.PROMISES,
    *racing.PROMISES,
    *deadlines.PROMISES,
    *listing.PROMISES,
)
