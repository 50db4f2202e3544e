"""Listings: one page after another of a table's rows, newest first.

Invariant: pages follow one another without a gap or a repeat, whatever is written between them,
because a page begins after the row (create_time_us, id) that the one before it ended with. It must
never skip rows by counting them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from google.protobuf.timestamp_pb2 import Timestamp

from chassis import faults, pages
from chassis.timestamps import boundary_us
from chassis.validation import Violations


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Which page is wanted. An empty filter lets everything through."""

    listed: str
    """What is listed, for example "orders": the tokens of one list are good for no other."""
    limit: int
    after: tuple[int, str] | None
    """(create_time_us, id) of the row before the page; None for the first."""
    states: frozenset[str]
    subject: str
    """What the rows are about, for example the customer."""
    created_from_us: int | None
    created_before_us: int | None

    @property
    def filters(self) -> Mapping[str, object]:
        """What a page token is bound to: all but the page itself."""
        return _filters(
            self.listed, self.states, self.subject, self.created_from_us, self.created_before_us
        )

    def token(self, last: tuple[int, str]) -> str:
        """The page token that goes on after `last`."""
        return pages.encode(self.filters, last)


def _filters(
    listed: str,
    states: frozenset[str],
    subject: str,
    from_us: int | None,
    before_us: int | None,
) -> Mapping[str, object]:
    return {
        "listed": listed,
        "states": states,
        "subject": subject,
        "from": from_us,
        "before": before_us,
    }


def read_listing(
    violations: Violations,
    *,
    listed: str,
    page_size: int,
    page_token: str,
    states: Iterable[int],
    state_names: Mapping[int, str],
    subject: str,
    create_time_after: Timestamp | None,
    create_time_before: Timestamp | None,
) -> Listing:
    """Checks what every List request has in common, and makes a Listing of it.

    Args:
        violations: Where everything that is wrong is added, by the field names of the protos.
        listed: What is listed, for example "orders".
        page_size: As sent.
        page_token: As sent.
        states: The numbers of the enum, as sent.
        state_names: What each number that may be sent is called inside.
        subject: Already checked by the caller, who knows what it is.
        create_time_after: None where it is not set.
        create_time_before: None where it is not set.
    """
    limit = violations.page_size(page_size)
    names: set[str] = set()
    for index, number in enumerate(states):
        name = state_names.get(number)
        if name is None:
            violations.add(f"states[{index}]", "must be a state other than UNSPECIFIED")
        else:
            names.add(name)
    from_us = _boundary(violations, "create_time_after", create_time_after)
    before_us = _boundary(violations, "create_time_before", create_time_before)
    after: tuple[int, str] | None = None
    try:
        after = pages.decode(
            page_token, _filters(listed, frozenset(names), subject, from_us, before_us)
        )
    except faults.Invalid as error:
        for violation in error.violations:
            violations.add(violation.field, violation.description)
    return Listing(
        listed=listed,
        limit=limit,
        after=after,
        states=frozenset(names),
        subject=subject,
        created_from_us=from_us,
        created_before_us=before_us,
    )


def _boundary(violations: Violations, field: str, time: Timestamp | None) -> int | None:
    return None if time is None else boundary_us(violations, field, time)


def select_page(
    connection: sa.Connection,
    columns: Sequence[sa.Column[Any]],
    listing: Listing,
    *,
    key: sa.Column[str],
    create_time_us: sa.Column[int],
    state: sa.Column[str],
    subject: sa.Column[str],
) -> tuple[Sequence[sa.Row[Any]], bool]:
    """The rows of the page, and whether there are more behind them.

    The columns given are those that the filters are about; `columns` is what is read.
    """
    query = sa.select(*columns)
    if listing.subject:
        query = query.where(subject == listing.subject)
    if listing.created_from_us is not None:
        query = query.where(create_time_us >= listing.created_from_us)
    if listing.created_before_us is not None:
        query = query.where(create_time_us < listing.created_before_us)
    if listing.after is not None:
        query = query.where(sa.tuple_(create_time_us, key) < sa.tuple_(*listing.after))

    def newest(query: sa.Select[Any]) -> sa.Select[Any]:
        ordered = query.order_by(create_time_us.desc(), key.desc())
        return ordered.limit(listing.limit + 1)

    states = sorted(listing.states)
    if len(states) < 2 or listing.subject:
        narrowed = query.where(state.in_(states)) if states else query
        rows = connection.execute(newest(narrowed)).all()
    else:
        # An index by state is in order within one state only: over several, every row that fits
        # would be sorted. A page of each is enough to make a page of all.
        each = [newest(query.where(state == it)).subquery() for it in states]
        both = sa.union_all(*(sa.select(it) for it in each)).subquery()
        order = (both.c[create_time_us.name].desc(), both.c[key.name].desc())
        rows = connection.execute(sa.select(both).order_by(*order).limit(listing.limit + 1)).all()
    return rows[: listing.limit], len(rows) > listing.limit
