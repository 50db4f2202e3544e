"""What a driver raises where the answer to a commit is lost on its way."""

import sqlite3

import psycopg
from sqlalchemy.pool import PoolProxiedConnection


def lost_answer(connection: PoolProxiedConnection) -> Exception:
    """The error; a connection to a server is of no use any more then."""
    driver = connection.driver_connection
    if isinstance(driver, psycopg.Connection):
        driver.close()
        return psycopg.OperationalError("server closed the connection unexpectedly")
    return sqlite3.OperationalError("disk I/O error")
