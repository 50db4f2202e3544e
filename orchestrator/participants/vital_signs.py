"""Whether a participant is there: asks by the standard health check, over its own channel.

Invariant: the answer is yes exactly if somebody answers in time and does not say that the service
is not being served. A server without a health service, or one that does not know this service by
its name, is there: it answered. Must never: raise.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2

ANSWER_SECONDS: Final = 0.5
"""Enough for a server that has nothing else to do for it, and less than an attempt may be late."""

_NOBODY: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


def asks_whether_there(channel: grpc.aio.Channel, service: str) -> Callable[[], Awaitable[bool]]:
    """A question to the server behind a channel.

    `service` is the full name of the service that is called over it.
    """
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    request = health_pb2.HealthCheckRequest(service=service)

    async def is_there() -> bool:
        try:
            reply = await check(request, timeout=ANSWER_SECONDS)
        except grpc.aio.AioRpcError as error:
            return error.code() not in _NOBODY
        except grpc.aio.UsageError:
            # The channel was closed: nothing is asked of anybody any more.
            return False
        return reply.status != health_pb2.HealthCheckResponse.NOT_SERVING

    return is_there
