"""Who is compared, and under which loads.

Invariant: each has one orchestrator or several, and nothing else of its own: participants and load
are everybody's. Must never: name one that would be left out without a word where it cannot run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Store(StrEnum):
    """What an orchestrator keeps its log in."""

    NONE = "nothing"
    SQLITE = "SQLite"
    POSTGRES = "PostgreSQL"


class Program(StrEnum):
    """The module that is run."""

    BARE = "bench.speed.bare"
    OURS = "orchestrator"
    DBOS = "bench.speed.dbos_orchestrator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One of those compared."""

    name: str
    program: Program
    store: Store
    replicas: int = 1
    loads: tuple[int, ...]
    """How many processes are under way at once, a slice each."""


BARE: Final = "bare"
OURS_SQLITE: Final = "ours-sqlite"
OURS_POSTGRES: Final = "ours-postgres"
OURS_POSTGRES_2: Final = "ours-postgres-2"
DBOS_SQLITE: Final = "dbos-sqlite"
DBOS_POSTGRES: Final = "dbos-postgres"

_CURVE: Final = (1, 32, 64, 256, 1_024, 4_096)

CONTENDERS: Final[Mapping[str, Contender]] = MappingProxyType(
    {
        it.name: it
        for it in (
            Contender(name=BARE, program=Program.BARE, store=Store.NONE, loads=_CURVE),
            Contender(name=OURS_SQLITE, program=Program.OURS, store=Store.SQLITE, loads=_CURVE),
            Contender(name=OURS_POSTGRES, program=Program.OURS, store=Store.POSTGRES, loads=_CURVE),
            Contender(
                name=OURS_POSTGRES_2,
                program=Program.OURS,
                store=Store.POSTGRES,
                replicas=2,
                # As much as one has, between them, and as much for each.
                loads=(64, 128),
            ),
            Contender(
                name=DBOS_SQLITE, program=Program.DBOS, store=Store.SQLITE, loads=(1, 32, 64)
            ),
            Contender(
                name=DBOS_POSTGRES, program=Program.DBOS, store=Store.POSTGRES, loads=(1, 32, 64)
            ),
        )
    }
)


class NoSuchContender(ValueError):  # noqa: N818 - named by what it means
    """A name that none of them has."""


def chosen(names: Sequence[str]) -> tuple[Contender, ...]:
    """Those of these names, in the order in which they run; all, without names.

    Raises:
        NoSuchContender: One of the names is not known.
    """
    unknown = sorted(set(names) - set(CONTENDERS))
    if unknown:
        raise NoSuchContender(
            f"there is no contender {', '.join(unknown)}; there are {', '.join(CONTENDERS)}"
        )
    return tuple(it for name, it in CONTENDERS.items() if not names or name in names)
