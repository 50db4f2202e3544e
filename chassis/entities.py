"""Entities: one row each, changed by pure transitions, written by a group commit.

Invariant: a row is written only over the version that the transition was given. A row that has
moved on meanwhile, or one that is there where none was, is read again and decided again, alone. It
must never overwrite what it has not read.

A transition gets the entity as it is, or None, and returns the entity as it is to be: the same
object where nothing changes, else a new one whose `version` is one more (1 for a new one).
Commands on one id in one batch see each other's work, in the order they came. Because a commit
whose answer was lost is offered again, a transition that was applied already answers as it did the
first time.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Generic, Protocol, TypeAlias, TypeVar

import sqlalchemy

from chassis.group_commit import GroupCommit, Missed


class Versioned(Protocol):
    """What every entity has."""

    @property
    def version(self) -> int:
        """How often it was written: 1 for a new one."""
        ...


E = TypeVar("E", bound=Versioned)

Transition: TypeAlias = Callable[[E | None], E]
Change: TypeAlias = tuple[str, Transition[E]]
"""The id of an entity, and what is to become of it."""


class EntityTable(Protocol[E]):
    """Where entities of one kind are kept."""

    def load(self, connection: sqlalchemy.Connection, ids: Sequence[str]) -> dict[str, E]:
        """The entities that are there, of those asked for, by id."""
        ...

    def insert(self, connection: sqlalchemy.Connection, entities: Sequence[E]) -> None:
        """Adds rows. Raises IntegrityError where one is there already."""
        ...

    def update(self, connection: sqlalchemy.Connection, entities: Sequence[E]) -> int:
        """Writes each over version `entity.version - 1`; returns how many rows were hit."""
        ...


def change_all(
    table: EntityTable[E],
    connection: sqlalchemy.Connection,
    changes: Sequence[Change[E]],
    *,
    loaded: Mapping[str, E] | None = None,
) -> list[E | Exception]:
    """Runs `changes` in order and writes what became of them; one entry a change.

    A transition that raises has no effect, and its exception is its entry.

    Args:
        table: Where the entities are.
        connection: In a transaction.
        changes: Ids and transitions.
        loaded: The entities, if somebody loaded them in this transaction already.

    Raises:
        Missed: A row was not at the version it was read at.
        sqlalchemy.exc.IntegrityError: A row was there that had not been there.
    """
    if loaded is None:
        loaded = table.load(connection, list({entity_id for entity_id, _ in changes}))
    current = dict(loaded)
    replies: list[E | Exception] = []
    # Rows are written in waves, the n-th change of each id in the n-th wave, so that every version
    # is written over the one before it. Most batches have one.
    inserts: list[E] = []
    waves: list[list[E]] = []
    depth: dict[str, int] = {}
    updated: list[int] = []
    for index, (entity_id, transition) in enumerate(changes):
        before = current.get(entity_id)
        try:
            after = transition(before)
        except Exception as error:  # noqa: BLE001 - this change's own failure; its caller gets it
            replies.append(error)
            continue
        replies.append(after)
        if after is before:
            continue
        current[entity_id] = after
        if before is None:
            assert after.version == 1, "a new entity begins at version 1"
            inserts.append(after)
            continue
        assert after.version == before.version + 1, "a change raises the version by one"
        wave = depth.get(entity_id, 0)
        depth[entity_id] = wave + 1
        if wave == len(waves):
            waves.append([])
        waves[wave].append(after)
        updated.append(index)
    if inserts:
        table.insert(connection, inserts)
    for entities in waves:
        if table.update(connection, entities) != len(entities):
            # The count does not say which: all that were over a row are decided again.
            raise Missed(updated)
    return replies


class EntityWriter(Generic[E]):
    """Changes entities of one table; concurrent changes share a transaction."""

    def __init__(
        self,
        engine: sqlalchemy.Engine,
        table: EntityTable[E],
        *,
        name: str,
        batch_max: int = 256,
        waiting_max: int = 20_000,
    ) -> None:
        self._commits: GroupCommit[Change[E], E] = GroupCommit(
            engine,
            partial(change_all, table),
            name=name,
            batch_max=batch_max,
            waiting_max=waiting_max,
        )

    async def start(self) -> None:
        """Starts the writer."""
        await self._commits.start()

    async def change(self, entity_id: str, transition: Transition[E]) -> E:
        """The entity as `transition` made it, once that is committed.

        Raises:
            Exception: What `transition` raised; nothing was written for it.
            faults.Unavailable: The database stayed away; the change may have been applied.
            faults.Overloaded: Too many changes are waiting; this one was not taken.
        """
        return await self._commits.submit((entity_id, transition))

    async def close(self) -> None:
        """Writes everything that was asked for, then ends."""
        await self._commits.close()

    async def failed(self) -> None:
        """Returns if the writer dies of a defect: then the process should end, and recover."""
        await self._commits.failed()
