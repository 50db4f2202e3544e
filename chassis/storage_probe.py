"""A probe of a database in trouble: does what services do to it, to find out whether it works.

Invariant: a probe that returns has committed as much as a batch of writes, and read. It must never
touch a service's tables, nor leave anything but an empty table of its own.
"""

from typing import Final

import sqlalchemy as sa

# As much as some fifty orders take: a disk that has room for less is still full.
ROOM_BYTES: Final = 64 * 1024

PROBES: Final = sa.Table(
    "storage_probe",
    sa.MetaData(),
    sa.Column("room", sa.LargeBinary, nullable=False),
)


def probe(engine: sa.Engine, read_engine: sa.Engine) -> None:
    """Writes, reads and deletes.

    Raises:
        sa.exc.SQLAlchemyError: It does not work.
    """
    with engine.begin() as connection:
        PROBES.create(connection, checkfirst=True)
        connection.execute(PROBES.insert().values(room=bytes(ROOM_BYTES)))
    # In a transaction of its own: what is given back before it is committed is never written.
    with engine.begin() as connection:
        connection.execute(PROBES.delete())
    with read_engine.begin() as connection:
        connection.execute(sa.select(PROBES.c.room).limit(1)).all()
