"""A gRPC server with nothing around it but health, for what is measured against.

Invariant: its options are those of chassis.server, its loop is the same (uvloop), and it has no
interceptor. Must never: be used by the product.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import grpc.aio
import uvloop
from grpc_health.v1 import health, health_pb2_grpc

from chassis.server import UNACCEPTED_MAX

GRACE_SECONDS = 5.0


async def serve_plainly(listen: str, add: Callable[[grpc.aio.Server], None]) -> None:
    """Serves until SIGTERM."""
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", 4 * 1024 * 1024),
            ("grpc.max_send_message_length", -1),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.server.max_pending_requests", UNACCEPTED_MAX),
            ("grpc.server.max_pending_requests_hard_limit", UNACCEPTED_MAX),
        ]
    )
    add(server)
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    server.add_insecure_port(listen)
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    await server.start()
    await told.wait()
    await server.stop(GRACE_SECONDS)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs it on the loop that the services run on."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
