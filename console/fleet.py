"""The four services as processes: where each listens, where its data is, whom it dials.

Invariant: what a service is told it is told through its environment, by the names that its --help
lists; what the caller's own environment says stands, unless a flag says otherwise. This module
must never start anything.
"""

import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from console.supervisor import CannotRun, Service

HOST: Final = "127.0.0.1"
ORCHESTRATOR: Final = "orchestrator"
PARTICIPANTS: Final = ("order", "payment", "delivery")
NAMES: Final = (ORCHESTRATOR, *PARTICIPANTS)
"""In the order of their ports."""

MODULES: Final = {
    "order": "order_svc",
    "payment": "payment_svc",
    "delivery": "delivery_svc",
    ORCHESTRATOR: "orchestrator",
}
FIRST_PORT: Final = 50051

# Which settings name a database, and the file that it is.
_DATABASES: Final = {
    "order": {"OMS_ORDER_DATABASE_URL": "order.db"},
    "payment": {
        "OMS_PAYMENT_DATABASE_URL": "payment.db",
        "OMS_PAYMENT_GATEWAY_DATABASE_URL": "gateway.db",
    },
    "delivery": {"OMS_DELIVERY_DATABASE_URL": "delivery.db"},
    ORCHESTRATOR: {"OMS_ORCHESTRATOR_DATABASE_URL": "orchestrator.db"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Where everything is."""

    listens: Mapping[str, str]
    database_urls: Mapping[str, str]

    @property
    def addresses(self) -> dict[str, str]:
        """What a client on this machine dials, by name."""
        return {name: dialled(listen) for name, listen in self.listens.items()}

    def services(self, environ: Mapping[str, str]) -> tuple[Service, ...]:
        """The processes to run, with `environ` and what it does not say."""
        return tuple(self._service(name, environ) for name in (*PARTICIPANTS, ORCHESTRATOR))

    def _service(self, name: str, environ: Mapping[str, str]) -> Service:
        settings = {f"OMS_{name.upper()}_LISTEN": self.listens[name]}
        settings |= {it: self.database_urls[it] for it in _DATABASES[name]}
        if name == ORCHESTRATOR:
            for participant in PARTICIPANTS:
                variable = f"OMS_{participant.upper()}_TARGET"
                settings[variable] = environ.get(variable) or self.addresses[participant]
        return Service(
            name=name,
            command=(sys.executable, "-m", MODULES[name]),
            environment={**environ, **settings},
            address=self.addresses[name],
            # What is under way at the orchestrator may still need the others.
            stops_in_round=0 if name == ORCHESTRATOR else 1,
        )


def listens_of(ports: Sequence[int]) -> dict[str, str]:
    """Where each listens, given four ports."""
    return {name: f"{HOST}:{port}" for name, port in zip(NAMES, ports, strict=True)}


def default_listens(environ: Mapping[str, str]) -> dict[str, str]:
    """Where each listens unless a flag says otherwise."""
    ports = range(FIRST_PORT, FIRST_PORT + len(NAMES))
    return {
        name: environ.get(f"OMS_{name.upper()}_LISTEN") or listen
        for name, listen in listens_of(ports).items()
    }


def free_ports() -> list[int]:
    """Four ports that are free now. Held all at once while they are found, so that they differ."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in NAMES]
        for it in sockets:
            it.bind((HOST, 0))
        return [int(it.getsockname()[1]) for it in sockets]


def databases_in(folder: Path) -> dict[str, str]:
    """A SQLite file for each database, by the setting that names it."""
    return {
        setting: f"sqlite:///{folder / file}"
        for files in _DATABASES.values()
        for setting, file in files.items()
    }


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
