"""Two releases on one database: the older one runs where the newer one promises that it can."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
import structlog

from chassis.database import Database, DatabaseNewer

FIRST = """
import sqlalchemy as sa
from alembic import op
revision = "0001"
down_revision = None
def upgrade():
    op.create_table("things", sa.Column("thing_id", sa.Text, primary_key=True))
"""
SECOND = """
import sqlalchemy as sa
from alembic import op
revision = "0002"
down_revision = "0001"
{promise}
def upgrade():
    op.add_column("things", sa.Column("colour", sa.Text))
"""

Release = Callable[..., Database]


@pytest.fixture
def release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> Callable[..., Database]:
    """Opens the database as a release does that has these revisions."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def opened(name: str, *revisions: str) -> Database:
        versions = tmp_path / name / "versions"
        versions.mkdir(parents=True, exist_ok=True)
        (versions.parent / "__init__.py").write_text("")
        for number, text in enumerate(revisions, start=1):
            (versions / f"{number:04}_it.py").write_text(text)
        return Database.open(database_url, name="thing", migrations=name)

    return opened


def put(database: Database, thing_id: str) -> None:
    things = sa.table("things", sa.column("thing_id"))
    with database.engine.begin() as connection:
        connection.execute(things.insert().values(thing_id=thing_id))


async def test_a_release_runs_on_after_the_next_one_has_expanded_the_schema(
    release: Release,
) -> None:
    older = release("older_a", FIRST)
    newer = release("newer_a", FIRST, SECOND.format(promise='runs_since = "0001"'))
    put(older, "a")
    put(newer, "b")
    await older.close()
    again = release("older_a", FIRST)
    put(again, "c")
    for database in (newer, again):
        await database.close()


async def test_an_upgrade_of_what_is_stored_says_so_before_it_begins(release: Release) -> None:
    # It may take long, and whoever waits for the start sees why.
    with structlog.testing.capture_logs() as first:
        await release("older_d", FIRST).close()
    assert ["schema_migrated"] == [it["event"] for it in first]
    with structlog.testing.capture_logs() as upgrade:
        await release("newer_d", FIRST, SECOND.format(promise="")).close()
    assert ["schema_migrating", "schema_migrated"] == [it["event"] for it in upgrade]
    assert ("0001", "0002") == (upgrade[0]["before"], upgrade[0]["to"])
    with structlog.testing.capture_logs() as again:
        await release("newer_d", FIRST, SECOND.format(promise="")).close()
    assert [] == again


async def test_a_release_does_not_start_on_a_schema_that_promises_it_nothing(
    release: Release,
) -> None:
    older = release("older_b", FIRST)
    newer = release("newer_b", FIRST, SECOND.format(promise=""))
    for database in (older, newer):
        await database.close()
    with pytest.raises(DatabaseNewer, match="at revision 0002"):
        release("older_b", FIRST)


async def test_a_promise_to_a_release_that_is_newer_than_oneself_is_none(release: Release) -> None:
    third = SECOND.format(promise='runs_since = "0002"')
    third = third.replace('"0002"\ndown_revision = "0001"', '"0003"\ndown_revision = "0002"')
    third = third.replace("colour", "size")
    newest = release("newest_c", FIRST, SECOND.format(promise='runs_since = "0001"'), third)
    await newest.close()
    middle = release("middle_c", FIRST, SECOND.format(promise='runs_since = "0001"'))
    put(middle, "a")
    await middle.close()
    with pytest.raises(DatabaseNewer, match="at revision 0003"):
        release("oldest_c", FIRST)
