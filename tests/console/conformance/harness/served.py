"""Participants in memory, each on a port of its own.

Invariant: whatever one of them still waits for ends with `close`.
"""

from collections.abc import Sequence
from typing import Self

import grpc.aio
from grpc_health.v1 import health_pb2_grpc

from chassis.health import Health
from chassis.reflection import Reflection
from tests.console.conformance.harness.memory import Memory


class Served:
    """A participant in memory behind a gRPC server."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        self.server.add_generic_rpc_handlers((memory.handlers(),))
        service = memory.kind.service
        health = Health([service] if memory.health else [])
        health.set_serving(True)
        health_pb2_grpc.add_HealthServicer_to_server(health, self.server)
        if memory.reflection:
            Reflection([service]).add_to(self.server)
        port = self.server.add_insecure_port("127.0.0.1:0")
        self.participant = f"{memory.kind.name}=127.0.0.1:{port}"

    async def close(self) -> None:
        await self.server.stop(None)


class Crowd:
    """Several of them."""

    def __init__(self, kinds: Sequence[type[Memory]]) -> None:
        self.served = {kind: Served(kind()) for kind in kinds}

    @property
    def participants(self) -> list[str]:
        return [it.participant for it in self.served.values()]

    async def __aenter__(self) -> Self:
        for it in self.served.values():
            await it.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for it in self.served.values():
            await it.close()
