"""What the kit must know of a participant that the contract does not say.

Invariant: the defaults are the names of the sandbox that comes with the project. An empty name says
that the participant has no such thing: the promises that need it are skipped, aloud. It must never
import grpc: it is read before anybody asked for the kit.
"""

from dataclasses import dataclass, field, fields
from typing import Final

import pytest

GROUP: Final = "oms-participant: whether participants keep the promises of the contract"


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """One knob is one option: `good_method` is `--oms-good-method`."""

    good_method: str = field(
        default="pm_card_visa", metadata={"says": "a payment method that is held and taken"}
    )
    declined_method: str = field(
        default="pm_card_chargeDeclined",
        metadata={"says": "a payment method that is declined when the payment is created"},
    )
    confirm_declined_method: str = field(
        default="pm_sandbox_confirmDeclined",
        metadata={"says": "a payment method that is held, and declined when it is confirmed"},
    )
    slow_method: str = field(
        default="pm_sandbox_slow",
        metadata={"says": "a payment method that takes longer than the short deadline"},
    )
    unknown_method: str = field(
        default="pm_conformance_unknown",
        metadata={"says": "a payment method that nobody knows"},
    )
    currency: str = field(
        default="USD", metadata={"says": "a currency that is taken, as ISO 4217 writes it"}
    )
    other_currency: str = field(default="EUR", metadata={"says": "another one"})
    served_country: str = field(
        default="US", metadata={"says": "a country with couriers, as ISO 3166-1 alpha-2 writes it"}
    )
    unserved_country: str = field(default="AQ", metadata={"says": "a country without couriers"})
    call_seconds: float = field(
        default=5.0, metadata={"says": "how long one call may take that is not meant to be slow"}
    )
    short_deadline_seconds: float = field(
        default=0.5, metadata={"says": "the deadline that the slow payment method exceeds"}
    )
    patience_seconds: float = field(
        default=30.0,
        metadata={
            "says": "how long a call that is answered 'ask again' (ABORTED, UNAVAILABLE, "
            "RESOURCE_EXHAUSTED) is repeated"
        },
    )
    at_once: int = field(default=20, metadata={"says": "how many calls make a crowd"})


def flag(name: str) -> str:
    """The option of a knob."""
    return f"--oms-{name.replace('_', '-')}"


def add_options(group: pytest.OptionGroup) -> None:
    """Adds an option for every knob."""
    for knob in fields(Knobs):
        group.addoption(
            flag(knob.name),
            dest=f"oms_{knob.name}",
            default=knob.default,
            type=type(knob.default),
            metavar=knob.name.split("_")[-1].upper(),
            help=f"{knob.metadata['says']} (default: {knob.default or 'none'})",
        )


def read_options(config: pytest.Config) -> Knobs:
    """The knobs as they were turned.

    Raises:
        pytest.UsageError: One cannot be so.
    """
    turned = {knob.name: config.getoption(f"oms_{knob.name}") for knob in fields(Knobs)}
    for name, value in turned.items():
        if not isinstance(value, str) and value <= 0:
            raise pytest.UsageError(f"{flag(name)} must be more than 0, not {value}")
    for name in ("good_method", "currency", "served_country"):
        if not turned[name]:
            raise pytest.UsageError(f"{flag(name)} must not be empty")
    return Knobs(**turned)
