"""The courier book, looked at and written by hand."""

import sqlalchemy as sa

from chassis.database import Database
from delivery_svc.couriers import COURIERS


async def loads(database: Database, country_code: str) -> dict[str, int]:
    """How many deliveries each courier of a country has."""
    query = (
        sa.select(COURIERS.c.courier_id, COURIERS.c.load)
        .where(COURIERS.c.country_code == country_code)
        .order_by(COURIERS.c.courier_id)
    )
    found = await database.read(lambda it: it.execute(query).all())
    return {row.courier_id: row.load for row in found}


def hire(
    connection: sa.Connection, country_code: str, capacities: list[int], *, load: int = 0
) -> None:
    """Puts these couriers in the place of those that a country has."""
    connection.execute(COURIERS.delete().where(COURIERS.c.country_code == country_code))
    for number, capacity in enumerate(capacities, start=1):
        connection.execute(
            COURIERS.insert().values(
                courier_id=f"crr_{country_code.lower()}_{number}",
                version=1,
                country_code=country_code,
                name=f"Courier {number}",
                capacity=capacity,
                load=load,
            )
        )
