"""The life of a server: listen, serve, drain, stop.

Invariant: a call that was taken is finished, or cut only after the grace; and when `drain` has
returned no handler runs any more: the database may be closed. Must never: share its port with
another server without being told so.

A connection has an age, after which the client is asked to open another one: it looks the name up
again, and so finds replicas that came later. Calls under way end on the old one, however long.
"""

import asyncio
import contextlib
import errno
import gc
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import grpc.aio
import structlog
import uvloop
from grpc_health.v1 import health_pb2_grpc
from structlog.typing import FilteringBoundLogger

from chassis import reflection
from chassis.handlers import Handlers
from chassis.health import Health

EXIT_OK: Final = 0
EXIT_DEFECT: Final = 1
EXIT_NOT_YET: Final = 75
EXIT_CONFIGURATION: Final = 78
EXIT_INTERRUPTED: Final = 130

# For servers that are not told by a setting.
CONNECTION_AGE_SECONDS_MAX: Final = 300.0

UNACCEPTED_MAX: Final = 20_000
"""So many calls that have arrived while the loop was busy wait in the library. It would begin to
cut them at a thousand, with a bare CANCELLED; a handler tells who is turned away why."""

HEALTH_SERVICE: Final = "grpc.health.v1.Health"

# A call that has arrived waits in the library until it is accepted, and is cut there by the stop,
# grace or not. So the stop comes once nothing has arrived for a moment: a few turns of the loop,
# which may be slow. Callers who do not let up are turned away for a while first, so that those who
# wait before they ask again do so.
_QUIET_TURNS: Final = 5
_QUIET_TURN_SECONDS: Final = 0.01
_ARRIVING_SECONDS_MAX: Final = 1.0
_TURNED_AWAY_SECONDS_MAX: Final = 1.0
# Either takes no more than this of the grace, which is for the calls.
_ARRIVING_SHARE_MAX: Final = 0.25

# After the grace every handler has been cancelled. One that will not end is not waited for.
_CANCELLED_SECONDS_MAX: Final = 5.0

# So many more objects than there were have the collector look at those that are new. A batch makes
# and drops thousands: with a tenth of this it looked twenty times a second, and found nothing.
_COLLECTED_EVERY: Final = 20_000

_log: FilteringBoundLogger = structlog.get_logger()


class CannotStart(Exception):  # noqa: N818 - named by what it means, as faults are
    """The service cannot start as things are. The text says in one line why, and what to do."""


class CannotStartYet(CannotStart):
    """As things are just now; they may mend. Whoever supervises it tries again."""


class CannotGoOn(Exception):  # noqa: N818 - named by what it means, as faults are
    """The service ended because it had to. The text says in one line why, and what to do."""


class ListenFailed(CannotStart):
    """The address to listen on cannot be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosted:
    """A service on a server: its full name, and what puts its servicer there."""

    name: str
    add: Callable[[grpc.aio.Server], None]


class Server:
    """A gRPC server with health, reflection and a drain.

    `port` is known, and `started` set, once it serves.
    """

    def __init__(
        self,
        *,
        listen: str,
        hosted: Sequence[Hosted],
        drain_grace_seconds: float,
        message_bytes_max: int,
        connection_age_seconds_max: float = CONNECTION_AGE_SECONDS_MAX,
    ) -> None:
        self.listen = listen
        self.port = 0
        self.started = asyncio.Event()
        self._hosted = tuple(hosted)
        self._drain_grace_seconds = drain_grace_seconds
        self._message_bytes_max = message_bytes_max
        self._connection_age_seconds_max = connection_age_seconds_max
        self._handlers = Handlers()
        self._health = Health(it.name for it in hosted)
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        """Where it listens, with the port that it got."""
        return f"{self.listen.rpartition(':')[0]}:{self.port}"

    async def start(self) -> None:
        """Listens and serves.

        Raises:
            ListenFailed: the address is in use, or is not of this machine.
        """
        assert self._server is None, "a server is started once"
        server = grpc.aio.server(
            options=[
                # Or a second server would take half of the connections, and nobody would notice.
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", self._message_bytes_max),
                ("grpc.max_send_message_length", -1),
                # Clients may ping this often, also between calls; more often ends in GOAWAY.
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
                # A watcher that is gone without a word is noticed.
                ("grpc.keepalive_time_ms", 60_000),
                ("grpc.keepalive_timeout_ms", 20_000),
                ("grpc.server.max_pending_requests", UNACCEPTED_MAX),
                ("grpc.server.max_pending_requests_hard_limit", UNACCEPTED_MAX),
                # The library varies it by a tenth, so that not all come again at once, and without
                # a grace it cuts nothing: a watch stays on the old connection to its end.
                ("grpc.max_connection_age_ms", round(1_000 * self._connection_age_seconds_max)),
            ],
        )
        for it in self._hosted:
            self._handlers.host(it.add)
        self._handlers.host(
            lambda it: health_pb2_grpc.add_HealthServicer_to_server(self._health, it)
        )
        names = [*(it.name for it in self._hosted), HEALTH_SERVICE, reflection.SERVICE]
        self._handlers.host(reflection.Reflection(names).add_to)
        server.add_generic_rpc_handlers([self._handlers])
        # Tried by hand first: the library only says that it failed, and writes to stderr.
        if why_not := _why_not(self.listen):
            raise ListenFailed(f"cannot listen on {self.listen}: {why_not}")
        try:
            self.port = server.add_insecure_port(self.listen)
        except RuntimeError as error:
            raise ListenFailed(f"cannot listen on {self.listen}") from error
        starting = asyncio.ensure_future(server.start())
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            # Cut off half way, the library would keep the port.
            await starting
            await server.stop(None)
            raise
        self._server = server
        self._health.set_serving(True)
        self.started.set()

    def set_serving(self, serving: bool) -> None:
        """Says SERVING or NOT_SERVING to those who ask for health. Calls are taken all the same."""
        self._health.set_serving(serving)

    async def drain(self, *, before_stop: Callable[[], Awaitable[None]] | None = None) -> None:
        """Stops in good order: health says so, calls under way are finished, then nothing runs.

        A call that has arrived by then counts as under way. `before_stop` runs while new calls
        still come in, and ends what would not end by itself, such as watches.
        """
        assert self._server is not None, "only what was started can be drained"
        self._health.drain()
        if before_stop is not None:
            try:
                await before_stop()
            except Exception:  # noqa: BLE001 - the drain goes on, whatever it was
                # What it failed to end is cut after the grace.
                _log.exception("what comes before the stop failed")
        grace_ends = asyncio.get_running_loop().time() + self._drain_grace_seconds
        if not await self._quiet(_ARRIVING_SECONDS_MAX):
            self._handlers.turn_away()
            await self._quiet(_TURNED_AWAY_SECONDS_MAX)
        await self._server.stop(max(0.0, grace_ends - asyncio.get_running_loop().time()))
        await self._ended()

    async def _quiet(self, seconds_max: float) -> bool:
        """Whether no call has arrived for a moment; waits for that, but not for long."""
        now = asyncio.get_running_loop().time
        ends = now() + min(seconds_max, _ARRIVING_SHARE_MAX * self._drain_grace_seconds)
        arrived, turns = self._handlers.arrived, 0
        while turns < _QUIET_TURNS:
            if now() >= ends:
                return False
            await asyncio.sleep(_QUIET_TURN_SECONDS)
            if self._handlers.arrived == arrived:
                turns += 1
            else:
                arrived, turns = self._handlers.arrived, 0
        return True

    async def stop(self) -> None:
        """Stops at once: calls under way are cut."""
        if self._server is not None:
            self._health.drain()
            await self._server.stop(None)
            await self._ended()

    async def _ended(self) -> None:
        try:
            async with asyncio.timeout(_CANCELLED_SECONDS_MAX):
                await self._handlers.idle()
        except TimeoutError:
            _log.error(
                "handlers run on after they were cancelled", handlers=self._handlers.in_flight
            )


async def serve(
    server: Server,
    *,
    on_drain: Callable[[], Awaitable[None]] | None = None,
    stop: asyncio.Event | None = None,
    stop_at_once: asyncio.Event | None = None,
) -> None:
    """Starts the server and serves until SIGTERM, SIGINT or `stop`; then drains it.

    A signal during the drain stops at once, and so does `stop_at_once`.
    """
    told = asyncio.Event() if stop is None else stop
    at_once = asyncio.Event() if stop_at_once is None else stop_at_once

    def on_signal() -> None:
        (at_once if told.is_set() else told).set()

    with _signals(on_signal):
        await server.start()
        try:
            _log.info("serving", address=server.address, port=server.port)
            await told.wait()
            _log.info("draining")
            await _first(server.drain(before_stop=on_drain), at_once.wait())
        finally:
            # Nothing is left to stop after a drain; a drain that was broken off ends here.
            await server.stop()
            _log.info("stopped")


async def _first(*awaited: Coroutine[Any, Any, object]) -> None:
    """Waits for the first of them to end, and has the others cancelled. Raises what it raised."""
    tasks = [asyncio.ensure_future(it) for it in awaited]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> NoReturn:
    """Runs a service and leaves the program.

    Exit codes: 0 after a drain, 1 after a defect or where it could not go on (CannotGoOn), 75 where
    it cannot start yet (CannotStartYet), 78 where it cannot start as things are (CannotStart), 130
    when it is interrupted before it serves. Whatever is not 0 has a line on stderr that says why.
    """
    # What has been imported stays. The collector would go through all of it again and again, and
    # every call that is under way would wait for that. What a few calls make fits below the
    # threshold, and is mostly gone by then.
    gc.freeze()
    gc.set_threshold(_COLLECTED_EVERY)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    except KeyboardInterrupt:
        _leave(EXIT_INTERRUPTED, "interrupted")
    except Exception as error:  # noqa: BLE001 - whatever it is, it ends the program
        match _unwrapped(error):
            case CannotStartYet() as reason:
                _leave(EXIT_NOT_YET, str(reason))
            case CannotStart() as reason:
                _leave(EXIT_CONFIGURATION, str(reason))
            case CannotGoOn() as reason:
                _log.critical("cannot_go_on", why=str(reason))
                _say(str(reason))
                sys.stdout.flush()
                # At once: what is still open must not be closed, see Database.close.
                os._exit(EXIT_DEFECT)
            case _:
                _log.exception("the service failed")
                _leave(EXIT_DEFECT, f"{type(error).__name__}; the log has the details")
    sys.exit(EXIT_OK)


def _unwrapped(error: Exception) -> Exception:
    """What happened; a group of tasks wraps it."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _leave(code: int, message: str) -> NoReturn:
    _say(message)
    sys.exit(code)


def _say(message: str) -> None:
    sys.stderr.write(f"{' '.join(message.split())}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def _signals(on_signal: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _why_not(listen: str) -> str:
    """What the operating system has against this address; empty where it has nothing."""
    host, _, port = listen.rpartition(":")
    try:
        found = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        return error.strerror or "it is not known"
    refused = [why for it in found if (why := _bind(it[0], it[4])) is not None]
    if any(why.errno == errno.EADDRINUSE for why in refused):
        return "it is in use; stop what has it, or take another"
    # A name may stand for several addresses; one of them is enough.
    return refused[0].strerror or "" if len(refused) == len(found) else ""


def _bind(family: socket.AddressFamily, address: tuple[Any, ...]) -> OSError | None:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None
