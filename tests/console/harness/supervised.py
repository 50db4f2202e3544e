"""Fake services to supervise, and what is heard of them.

Run as a program (`supervised.py DIARY ADDRESS…`) it supervises some and tells their pids, until
somebody kills it.
"""

import asyncio
import os
import sys
from pathlib import Path

from console.supervisor import Happening, Kind, Service, Supervisor

SERVICE = Path(__file__).with_name("fake_service.py")


def service(name: str, address: str, diary: Path, mood: str = "", *, round_: int = 0) -> Service:
    """One fake service."""
    return Service(
        name=name,
        command=(sys.executable, str(SERVICE), name, address, str(diary), mood),
        environment=dict(os.environ),
        address=address,
        stops_in_round=round_,
    )


class Heard:
    """Everything that was reported, and a way to wait for what will be."""

    def __init__(self) -> None:
        self.all: list[Happening] = []
        self._more = asyncio.Event()

    def __call__(self, happening: Happening) -> None:
        self.all.append(happening)
        self._more.set()

    async def until(self, kind: Kind, name: str = "", *, count: int = 1) -> Happening:
        """The so-many-th happening of a kind; waits for it."""
        while True:
            found = self.of(kind, name)
            if len(found) >= count:
                return found[count - 1]
            self._more.clear()
            await asyncio.wait_for(self._more.wait(), 30)

    def of(self, kind: Kind, name: str = "") -> list[Happening]:
        return [it for it in self.all if it.kind is kind and name in ("", it.name)]


async def main() -> None:
    diary, addresses = Path(sys.argv[1]), sys.argv[2:]

    def report(happening: Happening) -> None:
        if happening.kind in {Kind.STARTED, Kind.ALL_SERVING}:
            sys.stdout.write(f"{happening.kind} {happening.pid}\n")
            sys.stdout.flush()

    services = [service(f"s{n}", address, diary) for n, address in enumerate(addresses)]
    await Supervisor(services, report=report).run(asyncio.Event(), asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main())
