"""The settling loop: what was asked and never answered is asked again, until it is.

Invariant: every payment that asks something is asked about again when it is due, for as long as the
process lives; on start whatever is found half asked is due, for whoever asked is gone. One bad
payment, or one bad round, never stops the loop. It must never wait for an answer: one slow payment
would hold up the others.
"""

from typing import Final

import structlog

from chassis import faults
from chassis.clock import Clock
from chassis.validation import INT64_MAX
from payment_svc.asks import Asks
from payment_svc.records import PaymentRecords

BATCH_MAX: Final = 100

_log = structlog.get_logger(__name__)


class Settler:
    """Walks over what is half asked, a batch at a time, every `interval_seconds`."""

    def __init__(
        self, *, asks: Asks, records: PaymentRecords, clock: Clock, interval_seconds: float
    ) -> None:
        self._asks = asks
        self._records = records
        self._clock = clock
        self._interval_seconds = interval_seconds

    async def run(self) -> None:
        """Goes on until it is cancelled."""
        on_start = True
        while True:
            try:
                await self.walk(due_by_us=INT64_MAX if on_start else self._clock.now_us())
                on_start = False
            except faults.Unavailable as trouble:
                _log.warning("settling_postponed", why=str(trouble))
            except Exception:  # noqa: BLE001 - the loop goes on, whatever it was; logged in full
                _log.exception("settling_failed")
            await self._clock.sleep(self._interval_seconds)

    async def walk(self, *, due_by_us: int) -> None:
        """Has everything asked again that is due by then.

        Raises:
            faults.Unavailable: The database could not be read; the rest is for the next walk.
        """
        after = ""
        while True:
            payment_ids = await self._records.half_asked(
                due_by_us=due_by_us, after=after, limit=BATCH_MAX
            )
            for payment_id in payment_ids:
                while not self._asks.nudge(payment_id):
                    await self._clock.sleep(self._interval_seconds)
            if len(payment_ids) < BATCH_MAX:
                return
            after = payment_ids[-1]
