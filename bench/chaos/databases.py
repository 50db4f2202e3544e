"""Where the databases of a fleet are, and how to look into one behind its service's back.

Invariant: each service has a database of its own, and so has the ledger of the sandbox gateway.
Must never: be used by a service, which is only told the URL.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import sqlalchemy as sa

LEDGER: Final = "gateway"
_SCHEMA_PREFIX: Final = "oms_"
_BUSY_SECONDS: Final = 30


class Databases(Protocol):
    """Where each is."""

    def url(self, name: str) -> str:
        """The database of that service, or LEDGER, as the service is told."""
        ...


class Files:
    """A SQLite file each: of one replica alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def url(self, name: str) -> str:
        return f"sqlite:///{self._folder / name}.db"


class Schemas:
    """A schema each, in one database of a PostgreSQL that all replicas share."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url

    def url(self, name: str) -> str:
        return f"{self._server_url}?schema={_SCHEMA_PREFIX}{name}"


@contextmanager
def connected(url: str) -> Iterator[sa.Connection]:
    """A connection to that database, in a transaction that is committed at the end."""
    parsed = sa.make_url(url)
    schema = parsed.query.get("schema")
    if parsed.get_backend_name() == "sqlite":
        engine = sa.create_engine(parsed, connect_args={"timeout": _BUSY_SECONDS})
    else:
        engine = sa.create_engine(parsed.difference_update_query(("schema",)))
    try:
        with engine.begin() as connection:
            if schema is not None:
                connection.exec_driver_sql(f'SET LOCAL search_path TO "{schema}"')
            yield connection
    finally:
        engine.dispose()
