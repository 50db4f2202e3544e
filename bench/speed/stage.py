"""What a run stands on: the participants, a PostgreSQL where one is needed, a temporary folder.

Invariant: the three participants are real, on SQLite, with their default settings, and the same for
every contender; only the orchestrator and its log differ. Each slice has an orchestrator of its own
on an empty log, and while it is measured no other one runs. What was started is ended.
Must never: touch a file outside of its folder, or a port that is not its own.
"""

import asyncio
import contextlib
import itertools
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import psycopg

from bench.postgres import PostgresServer
from bench.speed.child import ROOT, Child, told
from bench.speed.contenders import Contender, Program, Store
from bench.speed.job import DATABASE, ORCHESTRATOR, PARTICIPANTS, Job, Report

MODULES: Final[Mapping[str, str]] = {
    "order": "order_svc",
    "payment": "payment_svc",
    "delivery": "delivery_svc",
}
BENCH_PYTHON: Final = ROOT / ".venv-bench" / "bin" / "python"
"""Where `make setup-bench` puts what only the benchmarks need."""


class Stage:
    """All that is there for the whole of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.participants: dict[str, Child] = {}
        self._postgres: PostgresServer | None = None
        self._numbers = itertools.count(1)

    @classmethod
    @contextlib.asynccontextmanager
    async def built(cls, stores: Collection[Store]) -> AsyncIterator[Self]:
        """A stage for these stores, for as long as the block lasts."""
        stage = cls(Path(tempfile.mkdtemp(prefix="oms-speed-")))
        try:
            if Store.POSTGRES in stores:
                # Before there is any channel: it is forked.
                stage._postgres = PostgresServer(durable=True)
                stage._postgres.start()
            yield stage
        finally:
            await stage.close()
            shutil.rmtree(stage.folder, ignore_errors=True)

    async def start_participants(self, *, gated: bool = False) -> None:
        """Starts the three, unless they run; behind gates, if so told: see `gated`.

        Raises:
            WillNotRun: One of them does not come up.
        """
        if self.participants:
            return
        for name, module in MODULES.items():
            self.participants[name] = (
                self.child(name, "bench.speed.gated", arguments=(module,))
                if gated
                else self.child(name, module)
            )
        settings = {
            "OMS_PAYMENT_GATEWAY_DATABASE_URL": f"sqlite:///{self.folder / 'gateway.db'}",
        }
        for name, child in self.participants.items():
            settings[f"OMS_{name.upper()}_LISTEN"] = child.address
            settings[f"OMS_{name.upper()}_DATABASE_URL"] = self.sqlite_url(name)
        await asyncio.gather(*(it.start(settings) for it in self.participants.values()))

    def child(
        self,
        name: str,
        module: str,
        *,
        python: Path | None = None,
        arguments: Sequence[str] = (),
    ) -> Child:
        """A process to be started in the folder."""
        command = (str(python or sys.executable), "-m", module, *arguments)
        return Child(name, command, folder=self.folder)

    def sqlite_url(self, name: str) -> str:
        """A file of that name in the folder."""
        return f"sqlite:///{self.folder / name}.db"

    def targets(self) -> Mapping[str, str]:
        """Where the participants are, as an orchestrator is told."""
        return {f"OMS_{name.upper()}_TARGET": it.address for name, it in self.participants.items()}

    @property
    def postgres(self) -> PostgresServer:
        """A durable server."""
        assert self._postgres is not None, "the stage was built for one"
        return self._postgres

    @contextlib.asynccontextmanager
    async def orchestrators(
        self, contender: Contender, settings: Mapping[str, str] | None = None
    ) -> AsyncIterator[Sequence[Child]]:
        """A contender's orchestrators on an empty log, for as long as the block lasts."""
        await self.start_participants()
        name = f"{contender.name}-{next(self._numbers)}"
        children = [
            self.child(
                f"{name}-{it}",
                contender.program,
                python=BENCH_PYTHON if contender.program is Program.DBOS else None,
            )
            for it in range(contender.replicas)
        ]
        with self.log_url(contender.store, name) as url:
            try:
                for it in children:
                    await it.start(
                        {
                            **self.targets(),
                            "OMS_ORCHESTRATOR_LISTEN": it.address,
                            "OMS_ORCHESTRATOR_DATABASE_URL": url,
                            **(settings or {}),
                        }
                    )
                yield children
                await asyncio.gather(*(it.stop() for it in children))
            finally:
                await asyncio.gather(*(it.close() for it in children))

    def watched(self, orchestrators: Sequence[Child], store: Store) -> Mapping[str, Sequence[int]]:
        """The processes to be measured, by role."""
        return {
            ORCHESTRATOR: [it.pid for it in orchestrators],
            PARTICIPANTS: [it.pid for it in self.participants.values()],
            DATABASE: [self.postgres.pid] if store is Store.POSTGRES else [],
        }

    async def load(self, job: Job) -> Report:
        """Has the load generator do a job.

        Raises:
            WillNotRun: It failed.
        """
        command = (sys.executable, "-m", "bench.speed.load")
        return Report.read(await told(command, job.written(), folder=self.folder))

    def new_prefix(self) -> str:
        """Of ids that nobody else uses."""
        return f"speed-{next(self._numbers)}"

    @contextlib.contextmanager
    def log_url(self, store: Store, name: str) -> Iterator[str]:
        """An empty database for a log; what it held is gone after the block."""
        if store is not Store.POSTGRES:
            yield self.sqlite_url(name)
            for it in self.folder.glob(f"{name}.db*"):
                it.unlink()
            return
        database = name.replace("-", "_")
        yield self.postgres.create_database(database)
        with psycopg.connect(self.postgres.url(), autocommit=True) as connection:
            # So that the next slice does not pay for what this one has left to be written.
            connection.execute(f"DROP DATABASE {database} WITH (FORCE)")
            connection.execute("CHECKPOINT")

    async def close(self) -> None:
        """Ends everything."""
        await asyncio.gather(*(it.close() for it in self.participants.values()))
        if self._postgres is not None:
            self._postgres.close()
