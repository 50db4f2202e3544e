"""The services on their ports, so many replicas of each, and the roads between them.

Invariant: every call of an orchestrator to a participant is on a road, one for each replica, and
every road has its weather. Where there are several of a service, all databases are on one server.
What was started is closed, in whatever state it is.
Must never: reach into a service; all is asked over gRPC.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import grpc.aio

from bench.chaos.database_server import DatabaseServer
from bench.chaos.databases import LEDGER, Databases, Files, Schemas
from bench.chaos.hands import note_moves
from bench.chaos.layout import ONE_OF_EACH, ORCHESTRATOR, PARTICIPANTS, Layout
from bench.chaos.proxy import Proxy
from bench.chaos.service import End, How, Service, all_serving, environment_of
from bench.chaos.snags import Passage
from bench.chaos.weather import Fault, Weather

MODULES: Final = {
    "order": "order_svc",
    "payment": "payment_svc",
    "delivery": "delivery_svc",
    ORCHESTRATOR: "orchestrator",
}
SETTINGS: Final[Mapping[str, str]] = {
    "OMS_PROCESS_DEADLINE_SECONDS": "10",
    # So that everything can be settled within a minute of the last fault.
    "OMS_STEP_BACKOFF_SECONDS_MAX": "1",
    "OMS_UNDO_BACKOFF_SECONDS_MAX": "2",
    # Longer than an attempt, shorter than a process.
    "OMS_PAYMENT_SANDBOX_SLOW_SECONDS": "3",
    "OMS_PAYMENT_GATEWAY_TIMEOUT_SECONDS": "5",
    "OMS_PAYMENT_SETTLE_INTERVAL_SECONDS": "0.5",
}
IN_FLIGHT_MAX: Final = 200
"""Of all orchestrators together: few enough that callers are turned away now and then."""


class Fleet:
    """All that runs, with its logs, and its databases where they are files, in `folder`."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        shares: Mapping[Fault, float],
        layout: Layout = ONE_OF_EACH,
    ) -> None:
        self.folder = folder
        self.layout = layout
        self.databases: Databases = Files(folder)
        self.server = DatabaseServer() if layout.shared else None
        self.replicas = {
            name: Service(name, MODULES[service], folder=folder, may_wait=layout.shared)
            for service, names in layout.replicas.items()
            for name in names
        }
        driven = [name for it in PARTICIPANTS for name in layout.replicas[it]]
        self.weathers = {name: Weather(seed, name, shares=shares) for name in driven}
        self._calls: Counter[str] = Counter()
        self._awaited: dict[str, list[tuple[int, asyncio.Event]]] = {}
        self.roads = {
            name: Proxy(
                self.replicas[name].port.address,
                on_passage=self._seen,
                weather=self.weathers[name],
            )
            for name in driven
        }

    def of(self, service: str) -> tuple[Service, ...]:
        """The replicas of a service."""
        return tuple(self.replicas[name] for name in self.layout.replicas[service])

    def channel(self, service: str) -> grpc.aio.Channel:
        """To one replica of a service: any knows what all know."""
        return self.of(service)[0].channel

    async def start(self) -> None:
        """Starts all and waits until all serve."""
        if self.server is not None:
            self.databases = Schemas(await self.server.start())
        await asyncio.gather(*(road.start() for road in self.roads.values()))
        for service, names in self.layout.replicas.items():
            for name in names:
                self.replicas[name].start(environment_of(self._settings(service, name), os.environ))
        await all_serving(tuple(self.replicas.values()))
        if self.server is not None:
            await asyncio.to_thread(note_moves, self.databases.url(ORCHESTRATOR))

    async def close(self) -> None:
        """Ends all of it."""
        await asyncio.gather(*(replica.close() for replica in self.replicas.values()))
        await asyncio.gather(*(road.close() for road in self.roads.values()))
        if self.server is not None:
            await self.server.close()

    def ended(self, service: str, how: How) -> int:
        """How many lives of a service were ended so."""
        return sum(it.ended(how) for it in self.of(service))

    def ends(self) -> list[End]:
        """The lives that were ended of those who own processes."""
        return [end for it in self.of(ORCHESTRATOR) for end in it.ends]

    async def called(self, process_id: str, times: int) -> None:
        """Waits until so many calls of a process have come by on the roads."""
        if self._calls[process_id] < times:
            event = asyncio.Event()
            self._awaited.setdefault(process_id, []).append((times, event))
            await event.wait()

    def calm(self) -> None:
        """The weather is fine from now on."""
        for weather in self.weathers.values():
            weather.calm()

    async def idle(self) -> None:
        """Has what is on the roads arrive, and waits until nothing is."""
        for road in self.roads.values():
            road.hurry()
        await asyncio.gather(*(road.idle() for road in self.roads.values()))

    def struck(self) -> Counter[Fault]:
        """How often each fault of the weather struck."""
        return sum((weather.struck for weather in self.weathers.values()), Counter())

    def _seen(self, passage: Passage) -> None:
        self._calls[passage.process_id] += 1
        for times, event in self._awaited.get(passage.process_id, ()):
            if self._calls[passage.process_id] >= times:
                event.set()

    def _settings(self, service: str, name: str) -> dict[str, str]:
        """What a replica is told."""
        prefix = f"OMS_{service.upper()}"
        settings = {
            **SETTINGS,
            f"{prefix}_LISTEN": self.replicas[name].port.address,
            f"{prefix}_DATABASE_URL": self.databases.url(service),
        }
        if service == "payment":
            settings["OMS_PAYMENT_GATEWAY_DATABASE_URL"] = self.databases.url(LEDGER)
        if service == ORCHESTRATOR:
            settings["OMS_IN_FLIGHT_MAX"] = str(IN_FLIGHT_MAX // self.layout.orchestrators)
            if self.layout.shared:
                settings["OMS_LEASE_SECONDS"] = str(self.layout.lease_seconds)
            settings |= {f"OMS_{it.upper()}_TARGET": self._target(it) for it in PARTICIPANTS}
        return settings

    def _target(self, participant: str) -> str:
        """The roads to all replicas of a participant."""
        roads = [self.roads[name].address for name in self.layout.replicas[participant]]
        return roads[0] if len(roads) == 1 else f"ipv4:{','.join(roads)}"
