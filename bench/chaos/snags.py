"""What can happen to a call between its caller and the server.

Invariant: a snag happens to one call at a time, and each says for itself what that call goes
through. Must never: know a message or a service; it sees the method, the metadata and bytes.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import grpc
import grpc.aio


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One call on its way. `method` is "/package.Service/Method"."""

    method: str
    metadata: grpc.aio.Metadata
    timeout_seconds: float | None
    request: bytes

    @property
    def name(self) -> str:
        """The method without its service."""
        return self.method.rpartition("/")[2]

    @property
    def process_id(self) -> str:
        """The process that it belongs to, empty where the caller named none."""
        return str(self.metadata.get("oms-process-id", ""))


Where = Callable[[Passage], bool]


def anywhere(passage: Passage) -> bool:
    """Every call."""
    del passage
    return True


class Broken(Exception):  # noqa: N818 - not an error of the proxy: what it is told to do
    """The connection broke: the caller learns `code`, and nothing about its call."""

    def __init__(self, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        super().__init__(code.name)
        self.code = code


class Snag:
    """Something that happens to the calls that `where` picks, at the most `times` of them.

    The snags of a proxy are asked in the order in which they were laid, and the first that takes a
    call has it.
    """

    # How long after its answer the server sees the request once more; None: it does not.
    echo_seconds: float | None = None

    def __init__(self, where: Where = anywhere, *, times: int = 1) -> None:
        self._where = where
        self._left = times

    def takes(self, passage: Passage) -> bool:
        """Whether this snag happens to that call. Uses up one of its times if so."""
        if self._left == 0 or not self._where(passage):
            return False
        self._left -= 1
        return True

    async def before(self, passage: Passage) -> int:
        """What happens before the server sees the request.

        Returns how many times the server is to see it.
        """
        del passage
        return 1

    async def after(self, passage: Passage) -> None:
        """What happens once the server has done the call, before the caller learns of it."""
        del passage

    def ended(self) -> None:
        """The call is carried out, or lost."""


class Hold(Snag):
    """Keeps a call until it is let go. Made by `Proxy.hold_request` and `Proxy.hold_reply`."""

    def __init__(self, where: Where) -> None:
        super().__init__(where)
        self._reached = asyncio.Event()
        self._let_go: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()
        self.passage: Passage | None = None

    async def reached(self) -> Passage:
        """Waits until a call is held. Returns the call."""
        await self._reached.wait()
        assert self.passage is not None
        return self.passage

    def release(self) -> None:
        """Lets the call go on, also when its caller is long gone."""
        self._let_go.set_result(True)

    def lose(self) -> None:
        """Loses what is held, as a broken connection would."""
        self._let_go.set_result(False)

    async def over(self) -> None:
        """Waits until the call that was held has been carried out, or lost."""
        await self._over.wait()

    def ended(self) -> None:
        """The call is carried out, or lost."""
        self._over.set()

    async def _hold(self, passage: Passage) -> None:
        self.passage = passage
        self._reached.set()
        if not await asyncio.shield(self._let_go):
            raise Broken


class HeldRequest(Hold):
    """The server has not seen the call yet."""

    async def before(self, passage: Passage) -> int:
        """Keeps the request."""
        await self._hold(passage)
        return 1


class HeldReply(Hold):
    """The server has done the call, and the caller does not know it."""

    async def after(self, passage: Passage) -> None:
        """Keeps the reply."""
        await self._hold(passage)


class LostReply(Snag):
    """The call is done, and its caller never learns it: it is told `code`."""

    def __init__(
        self,
        where: Where = anywhere,
        *,
        times: int = 1,
        code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE,
    ) -> None:
        super().__init__(where, times=times)
        self._code = code

    async def after(self, passage: Passage) -> None:
        """Breaks the connection."""
        del passage
        raise Broken(self._code)


class Cut(Snag):
    """The call never reaches the server."""

    async def before(self, passage: Passage) -> int:
        """Breaks the connection."""
        del passage
        raise Broken


class Delayed(Snag):
    """The server sees the request later, maybe when its caller is long gone."""

    def __init__(self, where: Where = anywhere, *, times: int = 1, seconds: float) -> None:
        super().__init__(where, times=times)
        self._seconds = seconds

    async def before(self, passage: Passage) -> int:
        """Takes its time."""
        del passage
        await asyncio.sleep(self._seconds)
        return 1


class Echoed(Snag):
    """The server sees the request again a while after it answered it."""

    def __init__(self, where: Where = anywhere, *, times: int = 1, seconds: float) -> None:
        super().__init__(where, times=times)
        self.echo_seconds = seconds


class Doubled(Snag):
    """The server sees the request twice at once; the caller gets one of the answers."""

    async def before(self, passage: Passage) -> int:
        """Sends it twice."""
        del passage
        return 2


class Late(Snag):
    """The caller is told at once that the connection broke; the server sees the request later."""

    def __init__(self, where: Where = anywhere, *, times: int = 1, seconds: float) -> None:
        super().__init__(where, times=times)
        self.echo_seconds = seconds

    async def before(self, passage: Passage) -> int:
        """Keeps it from the server for now."""
        del passage
        return 0

    async def after(self, passage: Passage) -> None:
        """Breaks the connection."""
        del passage
        raise Broken
