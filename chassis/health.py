"""Health of a server's services, as grpc.health.v1 has it.

Invariant: a watcher sees the newest status, and its stream ends once the server drains: an open
watch never holds up the stop, as it does with the servicer that the library brings. Must never: say
SERVING of a service again once it drains, nor tell a watch of one that begins then: a gRPC channel
whose watch ended after a word begins the next one at once, some two thousand a second.

One name is no service: `liveness` is SERVING for as long as this process answers at all, whatever
its database does. Who restarts what does not answer asks for that one: a restart mends a loop that
hangs, and does nothing for a database in trouble.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Any, Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

LIVENESS: Final = "liveness"
"""The name that is asked for by who would restart the process."""

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health(health_pb2_grpc.HealthServicer):
    """How the named services are, and the server as a whole (the empty name). First NOT_SERVING.

    `LIVENESS` beside them is SERVING from the beginning to the end.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names) | {"", LIVENESS}
        self._serving = False
        self._draining = False
        self._changed = asyncio.Event()

    def set_serving(self, serving: bool) -> None:
        """Sets the status of every name. Without effect once the server drains."""
        if not self._draining:
            self._serving = serving
            self._tell()

    def drain(self) -> None:
        """Says NOT_SERVING from now on, and ends the watches once they have said so."""
        self._serving = False
        self._draining = True
        self._tell()

    async def Check(  # noqa: N802 - named by the contract
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> health_pb2.HealthCheckResponse:
        """How one service is. NOT_FOUND for a name that is not served."""
        if request.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return health_pb2.HealthCheckResponse(status=self._status(request.service))

    async def List(  # noqa: N802 - named by the contract
        self,
        request: object,  # noqa: ARG002 - it holds nothing
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002 - nothing can go wrong
    ) -> object:
        """How each service is."""
        return health_pb2.HealthListResponse(  # type: ignore[attr-defined]  # newer than the stubs
            statuses={
                name: health_pb2.HealthCheckResponse(status=self._status(name))
                for name in self._names
            }
        )

    async def Watch(  # noqa: N802 - named by the contract
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncGenerator[health_pb2.HealthCheckResponse, None]:
        """How one service is, now and whenever that changes. UNAVAILABLE once the server drains."""
        told: int | None = None
        while True:
            changed, draining = self._changed, self._draining
            status = self._status(request.service)
            if draining and told is None and status != _SERVING:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the server is stopping")
            if status != told:
                yield health_pb2.HealthCheckResponse(status=status)
                told = status
            if draining:
                return
            await changed.wait()

    def _status(self, name: str) -> int:
        if name not in self._names:
            return _SERVICE_UNKNOWN
        return _SERVING if self._serving or name == LIVENESS else _NOT_SERVING

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
