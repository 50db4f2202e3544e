"""Brings a database to the schema that this release was written for.

Invariant: after `migrate` the database is at the newest revision of the package given, or at a
newer one that promises to work with this release; and it got there in one transaction: a crash half
way leaves it where it was. It must never touch a database whose revision it does not know: that
one was written by a newer release.

Two releases run side by side while one takes the other's place, so a revision only adds (it
expands); what nobody uses any more is taken away in a later release (it contracts). A revision says
with `runs_since` which revision's release is the oldest that still works beside it. That is kept in
the database, where an older release finds it. Without one, it is the revision itself.

Every service keeps its revisions as Alembic scripts in `<service>/migrations/versions/`. There is
no `env.py` and no `alembic.ini`: this module is the environment of them all, so that it works the
same from an installed package. Each service has a version table of its own, so several may share
one database.
"""

import importlib.util
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import sqlalchemy
import structlog
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from chassis.server import CannotStart

_log = structlog.get_logger(__name__)

# Alembic's `op` is one proxy for the whole process: migrations take turns.
_TURN = threading.Lock()
# How long a revision waits for a table that is in use.
_IN_USE_MILLISECONDS: Final = 5_000


class DatabaseNewer(CannotStart):
    """The database is at a revision that this release does not know."""


def version_table(name: str) -> str:
    """The table that holds the schema revision of the service called `name`."""
    return f"{name}_schema_version"


def promise_table(name: str) -> sqlalchemy.Table:
    """What each revision promises to those who do not know it."""
    return sqlalchemy.Table(
        f"{name}_schema_promise",
        sqlalchemy.MetaData(),
        sqlalchemy.Column("revision", sqlalchemy.Text, primary_key=True),
        sqlalchemy.Column("runs_since", sqlalchemy.Text, nullable=False),
    )


def migrate(connection: sqlalchemy.Connection, *, name: str, package: str) -> None:
    """Runs the revisions of `package` that the database has not seen, in the transaction begun.

    Raises:
        DatabaseNewer: The database is at a revision that `package` does not hold, and that does not
            promise to work with those that it holds.
    """
    promises = promise_table(name)
    _take_turn(connection, promises)
    script = ScriptDirectory(str(_folder_of(package)))

    def steps(heads: Any, _context: MigrationContext) -> Any:  # noqa: ANN401 - opaque: Alembic takes back what it hands over
        return script._upgrade_revs("head", heads)  # noqa: SLF001 - what `alembic upgrade` itself calls; the public way needs an env.py

    context = MigrationContext.configure(
        connection,
        opts={"fn": steps, "version_table": version_table(name), "transactional_ddl": True},
    )
    with _TURN:
        known = {revision.revision: revision for revision in script.walk_revisions()}
        before = context.get_current_heads()
        for revision in before:
            if revision not in known:
                _check_promise(connection, promises, name, revision, known)
                _log.info("schema_is_newer", database=name, revision=revision)
                return
        heads = script.get_heads()
        if before and set(heads) != set(before):
            # What is stored already may have to be copied, and nothing is served meanwhile.
            _log.info(
                "schema_migrating",
                database=name,
                before=", ".join(before),
                to=", ".join(heads),
            )
        with Operations.context(context):
            context.run_migrations()
        after = context.get_current_heads()
        for revision in set(after) - set(before):
            since = getattr(known[revision].module, "runs_since", revision)
            connection.execute(promises.insert().values(revision=revision, runs_since=since))
    if after != before:
        _log.info(
            "schema_migrated",
            database=name,
            before=", ".join(before) or "none",
            after=", ".join(after),
        )


def _take_turn(connection: sqlalchemy.Connection, promises: sqlalchemy.Table) -> None:
    """Has processes that start together migrate one after the other."""
    promises.create(connection, checkfirst=True)
    if connection.dialect.name != "sqlite":
        # However long the one before takes.
        connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        connection.exec_driver_sql(f'LOCK TABLE "{promises.name}" IN EXCLUSIVE MODE')
        # But a table that is in use is not waited for, with everybody else queueing up behind.
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_IN_USE_MILLISECONDS}")


def _check_promise(
    connection: sqlalchemy.Connection,
    promises: sqlalchemy.Table,
    name: str,
    revision: str,
    known: Collection[str],
) -> None:
    promised = sqlalchemy.select(promises.c.runs_since).where(promises.c.revision == revision)
    if connection.scalar(promised) not in known:
        raise DatabaseNewer(
            f"{name} database is at revision {revision}, which this release does not know; "
            "start the release that wrote it, or restore a backup"
        )


def _folder_of(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None, f"there is no package {package}"
    assert spec.submodule_search_locations, f"{package} is not a package"
    return Path(next(iter(spec.submodule_search_locations)))
