"""The four services as deploy/ knows them, by the names that it calls them.

Invariant: what a service is told is loaded by its own settings class, so a name or a value that it
would not take is one here.
"""

from collections.abc import Mapping
from typing import Final

import pytest

from chassis.settings import Settings, describe
from delivery_svc.settings import DeliverySettings
from orchestrator.settings import OrchestratorSettings
from order_svc.settings import OrderSettings
from payment_svc.settings import PaymentSettings

SETTINGS: Final[Mapping[str, type[Settings]]] = {
    "orchestrator": OrchestratorSettings,
    "order": OrderSettings,
    "payment": PaymentSettings,
    "delivery": DeliverySettings,
}
PARTICIPANTS: Final = ("order", "payment", "delivery")
KNOWN: Final = frozenset(doc.env for cls in SETTINGS.values() for doc in describe(cls))
LISTENS: Final = {
    name: doc.default
    for name, cls in SETTINGS.items()
    for doc in describe(cls)
    if doc.env.endswith("_LISTEN")
}
"""Where each listens unless it is told otherwise."""

# chassis.server: what runs before the stop has the grace, and then so have the calls under way; a
# handler that will not end is waited for this long on top.
CANCELLED_SECONDS_MAX: Final = 5


def loaded(name: str, environment: Mapping[str, str], patch: pytest.MonkeyPatch) -> Settings:
    """What a service makes of its environment."""
    for known in KNOWN:
        patch.delenv(known, raising=False)
    for variable, value in environment.items():
        patch.setenv(variable, value)
    return SETTINGS[name]()


def database_settings(name: str) -> set[str]:
    """The settings that name a database of a service."""
    return {doc.env for doc in describe(SETTINGS[name]) if doc.env.endswith("_DATABASE_URL")}


def drain_seconds_max(settings: Settings) -> float:
    """How long a service may take to stop once it was told to."""
    return 2 * settings.drain_grace_seconds + CANCELLED_SECONDS_MAX


def port_of(address: str) -> int:
    """The port of `host:port`, of `dns:///host:port` too."""
    return int(address.rpartition(":")[2])
