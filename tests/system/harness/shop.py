"""The four services on one PostgreSQL, as deploy/ sets it up: a role and a schema for each.

Invariant: a database is made by deploy/postgres/init.sql, and backed up and restored with the very
commands that docs/operating.md gives. Must never: let two of its databases share a gateway ledger.
"""

import asyncio
import itertools
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final, LiteralString

import psycopg
from psycopg import sql

from bench.postgres import PostgresServer
from tests.system.harness.system import System

ROOT: Final = Path(__file__).parents[3]
INIT: Final = ROOT / "deploy" / "postgres" / "init.sql"
SCHEMAS: Final = ("orchestrator", "order", "payment", "gateway", "delivery")
PARTICIPANTS: Final = ("order", "payment", "delivery")
_SETTINGS: Final = {
    "orchestrator": "OMS_ORCHESTRATOR_DATABASE_URL",
    "order": "OMS_ORDER_DATABASE_URL",
    "payment": "OMS_PAYMENT_DATABASE_URL",
    "gateway": "OMS_PAYMENT_GATEWAY_DATABASE_URL",
    "delivery": "OMS_DELIVERY_DATABASE_URL",
}
PASSWORD: Final = "pass" + "word"

_numbers = itertools.count(1)


class Shop:
    """Databases on one server, and systems that run on them."""

    def __init__(self, server: PostgresServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.environment = connection_of(server)

    def create(self) -> str:
        """A database without anything in it; its name."""
        name = f"oms_{os.getpid()}_{next(_numbers)}"
        self.server.create_database(name)
        return name

    def init(self, name: str) -> None:
        """Runs init.sql, which makes roles for the whole server: once."""
        passwords = {f"OMS_{it.upper()}_PASSWORD": PASSWORD for it in SCHEMAS}
        self._run("psql", f"--dbname={name}", f"--file={INIT}", environment=passwords)

    def dump(self, name: str) -> Path:
        """A backup of a database as it is now."""
        path = self.folder / f"{name}_{next(_numbers)}.dump"
        self._run("pg_dump", "--format=custom", f"--file={path}", name)
        return path

    def restore(self, dumps: Mapping[str, Path]) -> str:
        """A new database with each schema from the backup that is named for it."""
        name = self.create()
        for schema, path in dumps.items():
            with psycopg.connect(self.server.url(name), autocommit=True) as connection:
                role = sql.Identifier(f"oms_{schema}")
                connection.execute(sql.SQL("CREATE SCHEMA {0} AUTHORIZATION {0}").format(role))
            self._run(
                "pg_restore",
                *("--exit-on-error", f"--schema=oms_{schema}", f"--dbname={name}", str(path)),
            )
        return name

    async def open(self, name: str, settings: Mapping[str, str] | None = None) -> System:
        """The four services on a database, each under its own role."""
        address = self.server.url(name).partition("@")[2]
        urls = {
            _SETTINGS[it]: f"postgresql://oms_{it}:{PASSWORD}@{address}?schema=oms_{it}"
            for it in SCHEMAS
        }
        folder = self.folder / f"{name}_{next(_numbers)}"
        folder.mkdir()
        # The roads of a System are for faults, which these tests have none of.
        return await System(folder, settings=urls | dict(settings or {}), by_road=()).start()

    async def at_gateway(self, name: str, payment_id: str) -> set[str]:
        """What kinds of entries the gateway's ledger has of a payment."""
        return await self.ids(
            name, "SELECT kind FROM oms_gateway.ledger_entries WHERE payment_id = %s", payment_id
        )

    async def ids(self, name: str, query: LiteralString, *arguments: str) -> set[str]:
        """The only column of a query's rows, asked by the superuser."""

        def read() -> set[str]:
            with psycopg.connect(self.server.url(name)) as connection:
                return {str(it) for (it,) in connection.execute(query, arguments)}

        return await asyncio.to_thread(read)

    def _run(
        self, program: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> None:
        run = subprocess.run(
            [self.server.binary(program), *arguments],
            env={**os.environ, **self.environment, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr


def connection_of(server: PostgresServer) -> dict[str, str]:
    """Where a server is, as PostgreSQL's own programs are told."""
    role, _, address = server.url().removeprefix("postgresql://").partition("@")
    host, _, port = address.partition("/")[0].partition(":")
    return {"PGHOST": host, "PGPORT": port, "PGUSER": role, "PGDATABASE": "postgres"}
