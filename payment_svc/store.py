"""Where payments are kept: one row each, in `payments`.

Invariant: a payment that was written reads back equal, and a row that no payment can have is never
taken for one. It must never decide anything about a payment.
"""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from chassis.listings import Listing, select_page
from chassis.rows import Row, RowTable
from payment_svc.domain import (
    Asking,
    Content,
    Declined,
    Facets,
    Money,
    Payment,
    Release,
    State,
    stage_of,
)

MIGRATIONS: Final = "payment_svc.migrations"

_PAYMENTS: Final = sa.Table(
    "payments",
    sa.MetaData(),
    sa.Column("payment_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger),
    sa.Column("state", sa.Text),
    sa.Column("asking", sa.Text),
    sa.Column("cancel_requested", sa.Boolean),
    sa.Column("order_id", sa.Text),
    sa.Column("currency_code", sa.Text),
    sa.Column("minor_units", sa.BigInteger),
    sa.Column("payment_method", sa.Text),
    sa.Column("decline_reason", sa.Text),
    sa.Column("decline_message", sa.Text),
    sa.Column("release", sa.Text),
    sa.Column("ask_attempts", sa.BigInteger),
    sa.Column("ask_due_us", sa.BigInteger),
    sa.Column("create_time_us", sa.BigInteger),
    sa.Column("update_time_us", sa.BigInteger),
)


def table() -> RowTable[Payment]:
    """Payments as entities."""
    return RowTable(
        _PAYMENTS,
        key="payment_id",
        mutable=(
            "state",
            "asking",
            "cancel_requested",
            "decline_reason",
            "decline_message",
            "release",
            "ask_attempts",
            "ask_due_us",
            "update_time_us",
        ),
        to_row=_to_row,
        from_row=_from_row,
    )


def select_payments(connection: sa.Connection, listing: Listing) -> tuple[list[Payment], bool]:
    """One page of payments, and whether there are more behind it."""
    rows, more = select_page(
        connection,
        tuple(_PAYMENTS.c),
        listing,
        key=_PAYMENTS.c.payment_id,
        create_time_us=_PAYMENTS.c.create_time_us,
        state=_PAYMENTS.c.state,
        subject=_PAYMENTS.c.order_id,
    )
    return [_from_row(row) for row in rows], more


def select_half_asked(
    connection: sa.Connection, *, due_by_us: int, after: str, limit: int
) -> Sequence[str]:
    """Ids, beyond `after`, of payments whose question is due by then and has no answer.

    Only ids: a row that cannot be read must not keep the others from being settled.
    """
    columns = _PAYMENTS.c
    clause = (
        sa.select(columns.payment_id)
        .where(columns.asking.is_not(None))
        .where(columns.ask_due_us <= due_by_us)
        .where(columns.payment_id > after)
        .order_by(columns.payment_id)
        .limit(limit)
    )
    return connection.execute(clause).scalars().all()


def _to_row(payment: Payment) -> Row:
    content, decline, asking = payment.content, payment.decline, payment.asking
    return (
        payment.payment_id,
        payment.version,
        payment.state.value,
        None if asking is None else asking.value,
        payment.cancel_requested,
        None if content is None else content.order_id,
        None if content is None else content.amount.currency_code,
        None if content is None else content.amount.minor_units,
        None if content is None else content.payment_method,
        None if decline is None else decline.reason,
        None if decline is None else decline.message,
        payment.release.value,
        payment.ask_attempts,
        payment.ask_due_us,
        payment.create_time_us,
        payment.update_time_us,
    )


def _from_row(row: Row) -> Payment:
    payment_id, version, state, asking, cancel_requested = row[:5]
    order_id, currency_code, minor_units, payment_method = row[5:9]
    decline_reason, decline_message, release = row[9:12]
    ask_attempts, ask_due_us, create_time_us, update_time_us = row[12:]
    content = decline = None
    if order_id is not None:
        content = Content(
            order_id=order_id,
            amount=Money(currency_code=currency_code, minor_units=minor_units),
            payment_method=payment_method,
        )
    if decline_reason is not None:
        decline = Declined(reason=decline_reason, message=decline_message)
    facets = Facets(
        State(state), None if asking is None else Asking(asking), bool(cancel_requested)
    )
    return Payment(
        payment_id=payment_id,
        content=content,
        stage=stage_of(facets, declined=decline is not None),
        decline=decline,
        release=Release(release),
        ask_attempts=ask_attempts,
        ask_due_us=ask_due_us,
        create_time_us=create_time_us,
        update_time_us=update_time_us,
        version=version,
    )
