"""The audits that are under way at this orchestrator.

Invariant: they are few, for each reads a lot; and none begins another window once the server
drains. This module must never know what is audited.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from chassis import faults
from chassis.clock import Clock
from orchestrator.audit.audit import Audit, Page
from orchestrator.audit.progress import Progress, Range, begun

UNDER_WAY_MAX: Final = 2
RETRY_SECONDS: Final = 10.0


class Audits:
    """Begins audits, and ends them when the server drains."""

    def __init__(self, audit: Audit, clock: Clock) -> None:
        self._audit = audit
        self._clock = clock
        self._under_way = 0
        self._draining = False

    def drain(self) -> None:
        """Ends every audit behind the window that it is at."""
        self._draining = True

    async def pages(self, asked: Range | Progress) -> AsyncGenerator[Page, None]:
        """Audits a range from its beginning, or goes on with an audit.

        Raises:
            faults.Overloaded: AUDITS_UNDER_WAY.
            faults.Unavailable: DRAINING, PARTICIPANT_UNAVAILABLE or LOG_UNAVAILABLE.
        """
        if self._under_way >= UNDER_WAY_MAX:
            raise faults.Overloaded(
                "AUDITS_UNDER_WAY",
                f"{UNDER_WAY_MAX} audits are under way already; ask again later",
                retry_after_seconds=RETRY_SECONDS,
            )
        self._under_way += 1
        try:
            progress = begun(asked, self._clock.now_us()) if isinstance(asked, Range) else asked
            async with aclosing(self._audit.pages(progress)) as pages:
                async for page in pages:
                    yield page
                    if self._draining and not page.last:
                        raise faults.Unavailable(
                            "DRAINING", "the server is stopping; resume the audit"
                        )
        finally:
            self._under_way -= 1
