"""Brings a database to the schema that this release was written for.

Invariant: after `migrate` the database is at the newest revision of the package given, and it got
there in one transaction: a crash half way leaves it where it was. It must never touch a database
whose revision it does not know: that one was written by a newer release.

Every service keeps its revisions as Alembic scripts in `<service>/migrations/versions/`. There is
no `env.py` and no `alembic.ini`: this module is the environment of them all, so that it works the
same from an installed package. Each service has a version table of its own, so several may share
one database.
"""

import importlib.util
import threading
from pathlib import Path
from typing import Any

import sqlalchemy
import structlog
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from chassis.server import CannotStart

_log = structlog.get_logger(__name__)

# Alembic's `op` is one proxy for the whole process: migrations take turns.
_TURN = threading.Lock()


class DatabaseNewer(CannotStart):
    """The database is at a revision that this release does not know."""


def version_table(name: str) -> str:
    """The table that holds the schema revision of the service called `name`."""
    return f"{name}_schema_version"


def migrate(connection: sqlalchemy.Connection, *, name: str, package: str) -> None:
    """Runs the revisions of `package` that the database has not seen, in the transaction begun.

    Raises:
        DatabaseNewer: The database is at a revision that `package` does not hold.
    """
    script = ScriptDirectory(str(_folder_of(package)))

    def steps(heads: Any, _context: MigrationContext) -> Any:  # noqa: ANN401 - opaque: Alembic takes back what it hands over
        return script._upgrade_revs("head", heads)  # noqa: SLF001 - what `alembic upgrade` itself calls; the public way needs an env.py

    context = MigrationContext.configure(
        connection,
        opts={"fn": steps, "version_table": version_table(name), "transactional_ddl": True},
    )
    with _TURN:
        known = {revision.revision for revision in script.walk_revisions()}
        for revision in context.get_current_heads():
            if revision not in known:
                raise DatabaseNewer(
                    f"{name} database is at revision {revision}, which this release does not know; "
                    "start the release that wrote it, or restore a backup"
                )
        before = context.get_current_heads()
        with Operations.context(context):
            context.run_migrations()
        after = context.get_current_heads()
    if after != before:
        _log.info(
            "schema_migrated",
            database=name,
            before=", ".join(before) or "none",
            after=", ".join(after),
        )


def _folder_of(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None, f"there is no package {package}"
    assert spec.submodule_search_locations, f"{package} is not a package"
    return Path(next(iter(spec.submodule_search_locations)))
