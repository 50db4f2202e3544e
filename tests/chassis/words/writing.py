"""Writes words in batches: the `apply` of the tests of group commit."""

from collections.abc import Sequence

import sqlalchemy as sa

from tests.chassis.words.word import WORDS


class OwnFailure(Exception):  # noqa: N818 - what one command says for itself
    pass


def insert(connection: sa.Connection, texts: Sequence[str]) -> list[str | Exception]:
    """Writes each text under itself, once: applying it again changes nothing."""
    replies: list[str | Exception] = []
    for text in texts:
        if text == "own":
            replies.append(OwnFailure(text))
            continue
        if text == "defect":
            raise ValueError(text)
        there = sa.select(WORDS.c.word_id).where(WORDS.c.word_id == text)
        if connection.execute(there).first() is None:
            connection.execute(WORDS.insert().values(word_id=text, version=1, text=text, uses=0))
        replies.append(text.upper())
    return replies
