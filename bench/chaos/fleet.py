"""The four services on their ports, and the roads between them.

Invariant: every call of the orchestrator to a participant is on a road, and every road has its
weather. What was started is closed, in whatever state it is.
Must never: reach into a service; all is asked over gRPC.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench.chaos.proxy import Proxy
from bench.chaos.service import Service, all_serving, environment_of
from bench.chaos.snags import Passage
from bench.chaos.weather import Fault, Weather

PARTICIPANTS: Final = ("order", "payment", "delivery")
ORCHESTRATOR: Final = "orchestrator"
NAMES: Final = (*PARTICIPANTS, ORCHESTRATOR)
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
    # Few enough that callers are turned away now and then.
    "OMS_IN_FLIGHT_MAX": "200",
    # Longer than an attempt, shorter than a process.
    "OMS_PAYMENT_SANDBOX_SLOW_SECONDS": "3",
    "OMS_PAYMENT_GATEWAY_TIMEOUT_SECONDS": "5",
    "OMS_PAYMENT_SETTLE_INTERVAL_SECONDS": "0.5",
}


class Fleet:
    """All that runs, with its files in `folder`."""

    def __init__(self, folder: Path, *, seed: int, shares: Mapping[Fault, float]) -> None:
        self.folder = folder
        self.services = {name: Service(name, MODULES[name], folder=folder) for name in NAMES}
        self.weathers = {name: Weather(seed, name, shares=shares) for name in PARTICIPANTS}
        self._calls: Counter[str] = Counter()
        self._awaited: dict[str, list[tuple[int, asyncio.Event]]] = {}
        self.roads = {
            name: Proxy(
                self.services[name].port.address,
                on_passage=self._seen,
                weather=self.weathers[name],
            )
            for name in PARTICIPANTS
        }

    @property
    def ledger_url(self) -> str:
        """The ledger of the sandbox gateway."""
        return f"sqlite:///{self.folder / 'gateway.db'}"

    def database(self, name: str) -> Path:
        """The file of a service's database."""
        return self.folder / f"{name}.db"

    async def start(self) -> None:
        """Starts all and waits until all serve."""
        await asyncio.gather(*(road.start() for road in self.roads.values()))
        environment = environment_of(self._settings(), os.environ)
        for service in self.services.values():
            service.start(environment)
        await all_serving(tuple(self.services.values()))

    async def close(self) -> None:
        """Ends all of it."""
        await asyncio.gather(*(service.close() for service in self.services.values()))
        await asyncio.gather(*(road.close() for road in self.roads.values()))

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

    def _settings(self) -> dict[str, str]:
        settings = {
            **SETTINGS,
            "OMS_PAYMENT_GATEWAY_DATABASE_URL": self.ledger_url,
        }
        for name, service in self.services.items():
            settings[f"OMS_{name.upper()}_LISTEN"] = service.port.address
            settings[f"OMS_{name.upper()}_DATABASE_URL"] = f"sqlite:///{self.database(name)}"
        for name, road in self.roads.items():
            settings[f"OMS_{name.upper()}_TARGET"] = road.address
        return settings
