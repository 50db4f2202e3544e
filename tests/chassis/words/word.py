"""A word: an entity with a text, and a count of how often it was used."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from chassis.database import Database
from chassis.rows import RowTable
from chassis.statements import Row

MIGRATIONS = "tests.chassis.words"

WORDS = sa.Table(
    "words",
    sa.MetaData(),
    sa.Column("word_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger),
    sa.Column("text", sa.Text),
    sa.Column("uses", sa.BigInteger),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    word_id: str
    text: str
    uses: int
    version: int


Transition = Callable[[Word | None], Word]


def open_database(folder: Path) -> Database:
    return open_at(f"sqlite:///{folder}/words.db")


def open_at(url: str) -> Database:
    return Database.open(url, name="word", migrations=MIGRATIONS)


def table() -> RowTable[Word]:
    return RowTable(
        WORDS, key="word_id", mutable=("text", "uses"), to_row=_to_row, from_row=_from_row
    )


def stored(engine: sa.Engine) -> dict[str, Word]:
    """Every word that is committed, as another connection sees it."""
    with engine.connect() as connection:
        return {row[0]: _from_row(row) for row in connection.execute(sa.select(WORDS))}


def create(word_id: str, text: str) -> Transition:
    def transition(word: Word | None) -> Word:
        return word or Word(word_id=word_id, text=text, uses=0, version=1)

    return transition


def use(word: Word | None) -> Word:
    """Not idempotent: what was applied twice was counted twice."""
    assert word is not None
    return replace(word, uses=word.uses + 1, version=word.version + 1)


def rename(text: str) -> Transition:
    def transition(word: Word | None) -> Word:
        assert word is not None
        return replace(word, text=text, version=word.version + 1)

    return transition


def _to_row(word: Word) -> Row:
    return (word.word_id, word.version, word.text, word.uses)


def _from_row(row: Row) -> Word:
    word_id, version, text, uses = row
    return Word(word_id=word_id, version=version, text=text, uses=uses)
