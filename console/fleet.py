"""The four services as processes: where each listens, where its data is, whom it dials.

Of each service there is one, by its own name, or several replicas: order-1, order-2 and so on.

Invariant: what a service is told it is told through its environment, by the names that its --help
lists; what the caller's own environment says stands, unless a flag says otherwise. This module
must never start anything.
"""

import re
import socket
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from console.supervisor import CannotRun, Service
from console.terminal import BadInput

HOST: Final = "127.0.0.1"
ORCHESTRATOR: Final = "orchestrator"
PARTICIPANTS: Final = ("order", "payment", "delivery")
NAMES: Final = (ORCHESTRATOR, *PARTICIPANTS)
"""The services, in the order of their ports."""
REPLICAS_MAX: Final = 16

MODULES: Final = {
    "order": "order_svc",
    "payment": "payment_svc",
    "delivery": "delivery_svc",
    ORCHESTRATOR: "orchestrator",
}
FIRST_PORT: Final = 50051
PORT_STEP: Final = 10
"""From a replica's ports to the next one's: 50051 to 50054, 50061 to 50064 and so on."""
PORT_MAX: Final = 65_535

# Which settings name a database, and what it is called: as a file, or as a schema.
_DATABASES: Final = {
    "order": {"OMS_ORDER_DATABASE_URL": "order"},
    "payment": {
        "OMS_PAYMENT_DATABASE_URL": "payment",
        "OMS_PAYMENT_GATEWAY_DATABASE_URL": "gateway",
    },
    "delivery": {"OMS_DELIVERY_DATABASE_URL": "delivery"},
    ORCHESTRATOR: {"OMS_ORCHESTRATOR_DATABASE_URL": "orchestrator"},
}
_CALLED: Final = {setting: it for named in _DATABASES.values() for setting, it in named.items()}

_POSTGRESQL: Final = re.compile(r"postgresql(?:\+\w+)?://\S+")
_SCHEMA: Final = re.compile(r"[?&]schema=")
_IPV4: Final = re.compile(r"[0-9.]+:[0-9]+")
_ADDRESS: Final = re.compile(r"(?:[0-9.]+|\[[0-9A-Fa-f:.%]+\]):[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Where everything is. `listens` is by the names of the processes."""

    listens: Mapping[str, str]
    database_urls: Mapping[str, str]

    @property
    def addresses(self) -> dict[str, str]:
        """What a client on this machine dials to reach one process, by its name."""
        return {name: dialled(listen) for name, listen in self.listens.items()}

    def replicas(self, service: str) -> list[str]:
        """The names of a service's processes."""
        return [name for name in self.listens if service_of(name) == service]

    def target(self, service: str) -> str:
        """What a client on this machine dials to reach a service, however many replicas it has."""
        addresses = [dialled(self.listens[name]) for name in self.replicas(service)]
        if len(addresses) == 1:
            return addresses[0]
        scheme = "ipv4" if all(map(_IPV4.fullmatch, addresses)) else "ipv6"
        return f"{scheme}:{','.join(addresses)}"

    def services(self, environ: Mapping[str, str]) -> tuple[Service, ...]:
        """The processes to run, with `environ` and what it does not say."""
        return tuple(
            self._service(name, environ)
            for service in (*PARTICIPANTS, ORCHESTRATOR)
            for name in self.replicas(service)
        )

    def _service(self, name: str, environ: Mapping[str, str]) -> Service:
        service = service_of(name)
        settings = {f"OMS_{service.upper()}_LISTEN": self.listens[name]}
        settings |= {it: self.database_urls[it] for it in _DATABASES[service]}
        if service == ORCHESTRATOR:
            for participant in PARTICIPANTS:
                variable = f"OMS_{participant.upper()}_TARGET"
                settings[variable] = environ.get(variable) or self.target(participant)
        return Service(
            name=name,
            command=(sys.executable, "-m", MODULES[service]),
            environment={**environ, **settings},
            address=self.addresses[name],
            # What is under way at the orchestrators may still need the others.
            stops_in_round=0 if service == ORCHESTRATOR else 1,
        )


def service_of(name: str) -> str:
    """Which service a process is a replica of."""
    return name.partition("-")[0]


def listens_of(ports: Sequence[int]) -> dict[str, str]:
    """Where each listens, given four ports, or four for each replica."""
    replicas = len(ports) // len(NAMES)
    names = [_named(name, at, replicas) for at in range(replicas) for name in NAMES]
    return {name: f"{HOST}:{port}" for name, port in zip(names, ports, strict=True)}


def ports_from(first: int, replicas: int) -> list[int]:
    """Four ports from `first` on, and four more at each step after it. Raises `BadInput`."""
    ports = [first + PORT_STEP * at + n for at in range(replicas) for n in range(len(NAMES))]
    if ports[-1] > PORT_MAX:
        raise BadInput(
            f"{replicas} replicas from port {first} on would need port {ports[-1]}: "
            f"--ports-from {first - (ports[-1] - PORT_MAX)} at the most."
        )
    return ports


def default_listens(environ: Mapping[str, str], replicas: int = 1) -> dict[str, str]:
    """Where each listens unless a flag says otherwise. Raises `BadInput`.

    What the environment says is where the first replica listens; the others do so on its host.
    """
    found = listens_of(ports_from(FIRST_PORT, replicas))
    for service in NAMES:
        variable = f"OMS_{service.upper()}_LISTEN"
        if listen := environ.get(variable):
            if replicas > 1 and not _ADDRESS.fullmatch(dialled(listen)):
                raise BadInput(
                    f"{variable}={listen}: several replicas need an address, such as {HOST}:50052."
                )
            for at in range(replicas):
                found[_named(service, at, replicas)] = _after(listen, at, variable)
    return found


def free_ports(replicas: int = 1) -> list[int]:
    """Four ports for each replica, free now. Held at once while they are found: they differ."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(len(NAMES) * replicas)]
        for it in sockets:
            it.bind((HOST, 0))
        return [int(it.getsockname()[1]) for it in sockets]


def databases_in(folder: Path) -> dict[str, str]:
    """A SQLite file for each database, by the setting that names it."""
    return {setting: f"sqlite:///{folder / name}.db" for setting, name in _CALLED.items()}


def schemas_in(database_url: str) -> dict[str, str]:
    """A schema of one PostgreSQL database for each, by the setting. Raises `BadInput`."""
    if not _POSTGRESQL.fullmatch(database_url):
        # It is not shown: there may be a password in it.
        raise BadInput(
            "--database-url is postgresql://USER:PASSWORD@HOST/DATABASE, one database for all; "
            "SQLite files go into --data-dir."
        )
    if _SCHEMA.search(database_url):
        raise BadInput(
            "--database-url without schema=: each service gets a schema of its own "
            f"({', '.join(f'oms_{it}' for it in _CALLED.values())})."
        )
    joint = "&" if "?" in database_url else "?"
    return {it: f"{database_url}{joint}schema=oms_{name}" for it, name in _CALLED.items()}


def check_shared(database_urls: Mapping[str, str], environ: Mapping[str, str]) -> None:
    """Raises `BadInput` where replicas cannot share a database; names what `environ` set so."""
    files = [it for it, url in database_urls.items() if not _POSTGRESQL.fullmatch(url)]
    if files:
        given = [it for it in files if environ.get(it)]
        named = f" In the environment, and not on PostgreSQL: {', '.join(given)}." if given else ""
        raise BadInput(
            "More than one replica needs PostgreSQL, where any number share the saga log: "
            "--database-url postgresql://USER:PASSWORD@HOST/DATABASE. A SQLite file is one "
            f"orchestrator's alone.{named}"
        )


def databases_of(environ: Mapping[str, str], folder: Path | None, default: Path) -> dict[str, str]:
    """All in `folder`; without one as `environ` says, and in `default` where it says nothing."""
    if folder is not None:
        return databases_in(folder)
    return {it: environ.get(it) or url for it, url in databases_in(default).items()}


def check_ports(listens: Mapping[str, str]) -> None:
    """Raises `CannotRun` where something listens already, naming all such places at once."""
    drawn = [name for name, listen in listens.items() if listen.endswith(":0")]
    if drawn:
        raise CannotRun(f"port 0 cannot be waited for ({', '.join(drawn)}): use --free-ports.")
    for place, count in Counter(listens.values()).items():
        if count > 1:
            names = " and ".join(name for name, listen in listens.items() if listen == place)
            raise CannotRun(f"{names} would listen at the same place: {place}.")
    taken = [f"{listen} ({name})" for name, listen in listens.items() if _is_taken(listen)]
    if taken:
        raise CannotRun(
            f"already in use: {', '.join(taken)}. Stop what listens there (another `oms up`?), "
            "or take other ports: `oms up --free-ports`, `oms up --ports-from PORT`."
        )


def dialled(listen: str) -> str:
    """What a client on this machine dials to reach a server that listens so."""
    host, _, port = listen.rpartition(":")
    return f"{HOST}:{port}" if host in {"0.0.0.0", "[::]", "*"} else listen  # noqa: S104 - read, not bound


def _is_taken(listen: str) -> bool:
    host, _, port = dialled(listen).rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=1):
            return True
    except (OSError, ValueError, OverflowError):
        # What is wrong with the address itself is for the service to say.
        return False


def _named(service: str, at: int, replicas: int) -> str:
    return service if replicas == 1 else f"{service}-{at + 1}"


def _after(listen: str, at: int, variable: str) -> str:
    """Where the replica so many after the first listens."""
    host, _, port = listen.rpartition(":")
    if not port.isdecimal() or int(port) == 0:
        # The service itself says what is wrong with it.
        return listen
    if int(port) + PORT_STEP * at > PORT_MAX:
        raise BadInput(
            f"{variable}={listen} leaves no port for {at + 1} replicas, {PORT_STEP} apart."
        )
    return f"{host}:{int(port) + PORT_STEP * at}"
