"""What a revision may do: only add, so that the release before works on beside it.

Revisions that were released are those in `tests/golden_databases`: they never change.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection

from chassis.database import Database
from tests.migrations.schemas import SERVICES, Revision, as_of, revisions
from tests.migrations.shape import Shape, broken, refused, shape_of

ALL = [revision for package in SERVICES for revision in revisions(package)]
LATER = [revision for revision in ALL if revision.before is not None]


@pytest.fixture
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@asynccontextmanager
async def opened(url: str, revision: Revision, folder: Path) -> AsyncIterator[Connection]:
    """The database as the release of that revision opens it, in a transaction."""
    name = SERVICES.get(revision.package, "thing")
    database = Database.open(url, name=name, migrations=as_of(revision, folder))
    try:
        with database.engine.begin() as connection:
            if connection.dialect.name != "sqlite":
                # A service must not stand still in a transaction; who reads a schema here may.
                connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            yield connection
    finally:
        await database.close()


async def shape_at(url: str, revision: Revision, folder: Path) -> Shape:
    async with opened(url, revision, folder) as connection:
        return shape_of(connection)


async def complaints(
    of: Revision, oldest: Revision, folder: Path, new_url: Callable[[], str]
) -> list[str]:
    """What the release of the oldest revision would trip over beside the other one's."""
    url = new_url()
    before = await shape_at(url, oldest, folder)
    assert before, "a schema without tables would prove nothing"
    async with opened(url, of, folder) as connection:
        return [*broken(before, shape_of(connection)), *refused(connection, before)]


@pytest.mark.parametrize("package", SERVICES)
def test_one_revision_follows_the_other(package: str) -> None:
    chain = revisions(package)

    assert [None, *(it.revision for it in chain[:-1])] == [it.before for it in chain]
    assert [f"{number:04}" for number in range(1, len(chain) + 1)] == [it.revision for it in chain]
    # None lies beside the chain.
    assert {it.path for it in chain} == set(chain[0].path.parent.glob("*.py"))


@pytest.mark.parametrize("revision", LATER, ids=str)
def test_a_revision_says_which_release_still_works_beside_it(revision: Revision) -> None:
    assert revision.says_runs_since
    chain = [it.revision for it in revisions(revision.package)]
    assert chain.index(revision.runs_since) < chain.index(revision.revision), (
        "a release that takes the place of another one runs beside it"
    )


@pytest.mark.parametrize("revision", LATER, ids=str)
async def test_beside_a_revision_the_releases_it_promises_to_work(
    revision: Revision, importable: Path, new_database_url: Callable[[], str]
) -> None:
    chain = revisions(revision.package)
    [oldest] = [it for it in chain if it.revision == revision.runs_since]

    assert [] == await complaints(revision, oldest, importable, new_database_url)


# By removal: revisions that break their promise.

FIRST = """
import sqlalchemy as sa
from alembic import op
revision = "0001"
down_revision = None
def upgrade():
    op.create_table(
        "others", sa.Column("other_id", sa.Text, primary_key=True), sa.Column("size", sa.BigInteger)
    )
    op.create_table(
        "things",
        sa.Column("thing_id", sa.Text, primary_key=True),
        sa.Column("colour", sa.Text),
        sa.Column("size", sa.BigInteger, nullable=False, server_default="1"),
    )
"""
SECOND = """
import sqlalchemy as sa
from alembic import op
revision = "0002"
down_revision = "0001"
runs_since = "0001"
def upgrade():
    with op.batch_alter_table("things") as things:
        {what}
"""
FINE = {
    "a column": 'things.add_column(sa.Column("weight", sa.Text))',
    "a column that is filled": (
        'things.add_column(sa.Column("weight", sa.Text, nullable=False, server_default="1"))'
    ),
    "a table": 'op.create_table("more", sa.Column("more_id", sa.Text, primary_key=True))',
    "an index": 'things.create_index("by_colour", ["colour"])',
}
BUGS = {
    "a column is dropped": 'things.drop_column("colour")',
    "a column is renamed": 'things.alter_column("colour", new_column_name="shade")',
    "a table is dropped": 'op.drop_table("others")',
    "a table is renamed": 'op.rename_table("others", "more")',
    "a column has to be filled": 'things.alter_column("colour", nullable=False)',
    "a new column has to be filled": (
        'things.add_column(sa.Column("weight", sa.Text, nullable=False))'
    ),
    "a column is of another type": (
        'things.alter_column("size", type_=sa.Integer, existing_type=sa.BigInteger)'
    ),
    "a text is shorter": 'things.alter_column("colour", type_=sa.String(5))',
    "a column is not filled any more": 'things.alter_column("size", server_default=None)',
    "a column is unique": 'things.create_unique_constraint("one", ["colour"])',
    "an index is unique": 'op.create_index("one", "things", ["colour"], unique=True)',
    "a column is checked": 'things.create_check_constraint("short", "size < 5000000")',
    "a column has to point somewhere": (
        'things.create_foreign_key("other", "others", ["colour"], ["other_id"])'
    ),
}


def planted(folder: Path, what: str) -> list[Revision]:
    versions = folder / "planted" / "versions"
    versions.mkdir(parents=True)
    (versions / "0001_first.py").write_text(FIRST)
    (versions / "0002_second.py").write_text(SECOND.format(what=what))
    return list(revisions("planted", folder / "planted"))


@pytest.mark.parametrize("what", FINE)
async def test_what_only_adds_passes(
    what: str, importable: Path, new_database_url: Callable[[], str]
) -> None:
    first, second = planted(importable, FINE[what])

    assert [] == await complaints(second, first, importable, new_database_url)


@pytest.mark.parametrize("what", BUGS)
async def test_a_revision_that_breaks_its_promise_is_found_out(
    what: str, importable: Path, new_database_url: Callable[[], str]
) -> None:
    first, second = planted(importable, BUGS[what])

    assert [] != await complaints(second, first, importable, new_database_url)
