"""Several replicas of one participant on one PostgreSQL, each a process of its own.

Invariant: a call goes to one replica after another until one of them has said how it ends; so a
replica that is killed, and a server that is restarted, cost time and nothing else.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import grpc
import grpc.aio

from tests.system.harness.process import PATIENCE_SECONDS
from tests.system.harness.service import Service

# After these a caller does not know, or is to come again.
_AGAIN: Final = frozenset(
    {
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
        # A connection that broke in the midst of an answer.
        grpc.StatusCode.UNKNOWN,
    }
)
_ATTEMPT_SECONDS: Final = 10.0


class Replicas:
    """`count` replicas of the service called `name`, with the stub `stub_of`."""

    def __init__(
        self,
        name: str,
        stub_of: Any,
        *,
        count: int,
        folder: Path,
        settings: Mapping[str, str],
    ) -> None:
        self.services = []
        for place in range(count):
            home = folder / f"{name}_{place}"
            home.mkdir()
            self.services.append(Service(name, folder=home, settings=settings))
        self._stubs = [stub_of(it.channel) for it in self.services]
        self._answers = 0
        self._heard = asyncio.Condition()

    async def __aenter__(self) -> Self:
        try:
            # At once: the first start of a database is theirs to share.
            await asyncio.gather(*(it.start() for it in self.services))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for it in self.services:
            await it.close()

    async def call(self, method: str, request: Any, *, first: int) -> Any:
        """The answer; `first` is the replica that is asked first.

        Raises:
            grpc.aio.AioRpcError: The service has said no.
        """
        place = first
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                stub = self._stubs[place % len(self._stubs)]
                try:
                    answer = await getattr(stub, method)(request, timeout=_ATTEMPT_SECONDS)
                except grpc.aio.AioRpcError as error:
                    if error.code() in _AGAIN:
                        place += 1
                        continue
                    await self._answered()
                    raise
                await self._answered()
                return answer

    async def until_answered(self, count: int) -> None:
        """Waits until so many calls have been answered."""
        async with self._heard:
            await self._heard.wait_for(lambda: self._answers >= count)

    async def _answered(self) -> None:
        self._answers += 1
        async with self._heard:
            self._heard.notify_all()
