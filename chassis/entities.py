"""Entities: one row each, changed by pure transitions, written by a group commit.

Invariant: a row is written only over the version that the transition was given. A row that has
moved on meanwhile, or one that is there where none was, is read again and decided again, alone. It
must never overwrite what it has not read.

A transition gets the entity as it is, or None, and returns the entity as it is to be: the same
object where nothing changes, else a new one whose `version` is one more (1 for a new one). A
removal may also return None: then there is none any more. Commands on one id in one batch see each
other's work, in the order they came. Because a commit whose answer was lost is offered again, a
transition that was applied already answers as it did the first time.
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
Removal: TypeAlias = Callable[[E | None], E | None]
Change: TypeAlias = tuple[str, Transition[E] | Removal[E]]
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

    def delete(self, connection: sqlalchemy.Connection, entities: Sequence[E]) -> int:
        """Deletes each at its version; returns how many rows were hit."""
        ...


def change_all(
    table: EntityTable[E],
    connection: sqlalchemy.Connection,
    changes: Sequence[Change[E]],
    *,
    loaded: Mapping[str, E] | None = None,
) -> list[E | Exception | None]:
    """Runs `changes` in order and writes what became of them; one entry a change.

    A transition that raises has no effect, and its exception is its entry.

    Args:
        table: Where the entities are.
        connection: In a transaction.
        changes: Ids and transitions.
        loaded: The entities, if somebody loaded them in this transaction already.

    Raises:
        Missed: A row was not at the version it was read at, or is wanted again after its removal.
        sqlalchemy.exc.IntegrityError: A row was there that had not been there.
    """
    if loaded is None:
        loaded = table.load(connection, list({entity_id for entity_id, _ in changes}))
    current: dict[str, E | None] = {**loaded}
    replies: list[E | Exception | None] = []
    writes: _Writes[E] = _Writes()
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
        if before is None and entity_id in current:
            # Its row is still there until the end of this transaction: it is for the next one.
            raise Missed(it for it in range(index, len(changes)) if changes[it][0] == entity_id)
        writes.add(index, entity_id, before, after)
        current[entity_id] = after
    writes.run(table, connection)
    return replies


class _Writes(Generic[E]):
    """What a batch writes.

    Rows are written in waves, the n-th change of each id in the n-th wave, so that every version is
    written over the one before it. Most batches have one.
    """

    def __init__(self) -> None:
        self._inserts: list[E] = []
        self._waves: list[list[E]] = []
        self._depth: dict[str, int] = {}
        self._removed: list[E] = []
        self._guarded: list[int] = []

    def add(self, index: int, entity_id: str, before: E | None, after: E | None) -> None:
        """The change at `index` of the batch makes `after` of what was `before`."""
        if before is None:
            assert after is not None, "what is not there is not removed"
            assert after.version == 1, "a new entity begins at version 1"
            self._inserts.append(after)
            return
        self._guarded.append(index)
        if after is None:
            self._removed.append(before)
            return
        assert after.version == before.version + 1, "a change raises the version by one"
        wave = self._depth.get(entity_id, 0)
        self._depth[entity_id] = wave + 1
        if wave == len(self._waves):
            self._waves.append([])
        self._waves[wave].append(after)

    def run(self, table: EntityTable[E], connection: sqlalchemy.Connection) -> None:
        """Writes all of it.

        Raises:
            Missed: The count does not say which row was not hit: all that were over one are decided
                again.
        """
        if self._inserts:
            table.insert(connection, self._inserts)
        for entities in self._waves:
            if table.update(connection, entities) != len(entities):
                raise Missed(self._guarded)
        if self._removed and table.delete(connection, self._removed) != len(self._removed):
            raise Missed(self._guarded)


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
        self._commits: GroupCommit[Change[E], E | None] = GroupCommit(
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
        entity = await self._commits.submit((entity_id, transition))
        assert entity is not None, "a transition leaves an entity"
        return entity

    async def remove(self, entity_id: str, removal: Removal[E]) -> E | None:
        """The entity as `removal` left it, once that is committed. None: there is none any more.

        Raises:
            As `change`.
        """
        return await self._commits.submit((entity_id, removal))

    async def close(self) -> None:
        """Writes everything that was asked for, then ends."""
        await self._commits.close()

    async def failed(self) -> None:
        """Returns if the writer dies of a defect: then the process should end, and recover."""
        await self._commits.failed()
