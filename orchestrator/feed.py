"""Who wants to know that something happened to a process is told so, within this program.

Invariant: whoever subscribed before a commit is woken after it. What happened is not said: the log
is read for that, so a notice too many does no harm. Must never: hold anything about a process that
nobody watches.
"""

import asyncio
from typing import Self


class Subscription:
    """Notices about one process; several that were not looked at yet are one.

    For one who waits at a time, and for as long as the block lasts. A class, for a generator of
    contextlib costs three times as much.
    """

    __slots__ = ("_noticed", "_process_id", "_subscriptions", "_waiting")

    def __init__(self, subscriptions: "dict[str, set[Subscription]]", process_id: str) -> None:
        self._subscriptions = subscriptions
        self._process_id = process_id
        self._noticed = False
        self._waiting: asyncio.Future[None] | None = None

    def __enter__(self) -> Self:
        self._subscriptions.setdefault(self._process_id, set()).add(self)
        return self

    def __exit__(self, *_: object) -> None:
        subscribed = self._subscriptions[self._process_id]
        subscribed.discard(self)
        if not subscribed:
            del self._subscriptions[self._process_id]

    async def changed(self, within_seconds: float) -> bool:
        """Whether there was a notice since this last said so, or since the subscription.

        Returns once there is one, or when the time is up.
        """
        if not self._noticed:
            assert self._waiting is None, "one waits at a time"
            loop = asyncio.get_running_loop()
            self._waiting = loop.create_future()
            timer = loop.call_later(within_seconds, self._wake)
            try:
                await self._waiting
            finally:
                timer.cancel()
                self._waiting = None
        noticed, self._noticed = self._noticed, False
        return noticed

    def _notice(self) -> None:
        self._noticed = True
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class Feed:
    """Takes notices and passes them on to whoever subscribed."""

    def __init__(self) -> None:
        self._subscriptions: dict[str, set[Subscription]] = {}

    def notify(self, process_id: str) -> None:
        """Something happened to this process."""
        for subscription in self._subscriptions.get(process_id, ()):
            subscription._notice()  # noqa: SLF001 - the two belong together

    def notify_all(self) -> None:
        """Has everybody look, for example because the server drains and nothing more will come."""
        for process_id in self._subscriptions:
            self.notify(process_id)

    def subscribe(self, process_id: str) -> Subscription:
        """Subscribes to one process for as long as the block lasts.

        Subscribe first, then read the log: so nothing falls in between.
        """
        return Subscription(self._subscriptions, process_id)
