"""Who wants to know that something happened to a process is told so, within this program.

Invariant: whoever subscribed before a commit is woken after it. What happened is not said: the log
is read for that, so a notice too many does no harm. Must never: hold anything about a process that
nobody watches.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Subscription:
    """Notices about one process; several that were not looked at yet are one."""

    __slots__ = ("_noticed",)

    def __init__(self) -> None:
        self._noticed = asyncio.Event()

    async def changed(self) -> None:
        """Returns once there was a notice since it last returned, or since the subscription."""
        await self._noticed.wait()
        self._noticed.clear()

    def _notice(self) -> None:
        self._noticed.set()


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

    @contextmanager
    def subscribe(self, process_id: str) -> Iterator[Subscription]:
        """Subscribes to one process for as long as the block lasts.

        Subscribe first, then read the log: so nothing falls in between.
        """
        subscription = Subscription()
        self._subscriptions.setdefault(process_id, set()).add(subscription)
        try:
            yield subscription
        finally:
            subscribed = self._subscriptions[process_id]
            subscribed.discard(subscription)
            if not subscribed:
                del self._subscriptions[process_id]
