"""How many of each service a fleet has.

Invariant: a service of which there are several shares its database, so it needs a PostgreSQL. A
replica's name tells its service. Must never: start anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

PARTICIPANTS: Final = ("order", "payment", "delivery")
ORCHESTRATOR: Final = "orchestrator"
SERVICES: Final = (*PARTICIPANTS, ORCHESTRATOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The replicas, in the order of SERVICES."""

    orchestrators: int = 1
    participants: int = 1
    """Of each of the three."""
    lease_seconds: float = 2.0
    """After how long without a heartbeat an orchestrator that shares the log is taken for dead.

    So short that many are taken for dead who are not, where the machine is busy.
    """

    @property
    def shared(self) -> bool:
        """Whether the databases have to be on a server."""
        return self.orchestrators > 1 or self.participants > 1

    @property
    def pause_seconds(self) -> tuple[float, float]:
        """How long a replica is stopped: long enough to hurt, short enough to end.

        Where others would go on with its processes, it is: longer than a lease.
        """
        if not self.shared:
            return (0.2, 4.0)
        return (1.1 * self.lease_seconds, 3 * self.lease_seconds)

    @property
    def replicas(self) -> Mapping[str, tuple[str, ...]]:
        """Their names by service. Where there is one of each, it is called as its service."""
        return MappingProxyType(
            {
                service: (service,)
                if not self.shared
                else tuple(
                    f"{service}-{n}"
                    for n in range(
                        1,
                        1 + (self.orchestrators if service == ORCHESTRATOR else self.participants),
                    )
                )
                for service in SERVICES
            }
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all replicas."""
        return tuple(name for names in self.replicas.values() for name in names)


ONE_OF_EACH: Final = Layout()
