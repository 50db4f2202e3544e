"""What an audit reports.

Invariant: a finding says by itself what it is about, what should be and what is. This module must
never decide that something is one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from orchestrator.audit.accounts import EntityKind
from orchestrator.placed_order import Money


class Kind(StrEnum):
    """What is found; the contract names the same ones."""

    ORPHAN_ORDER = "ORPHAN_ORDER"
    ORPHAN_PAYMENT = "ORPHAN_PAYMENT"
    ORPHAN_DELIVERY = "ORPHAN_DELIVERY"
    ORDER_OF_CANCELLED_PROCESS = "ORDER_OF_CANCELLED_PROCESS"
    PAYMENT_OF_CANCELLED_PROCESS = "PAYMENT_OF_CANCELLED_PROCESS"
    DELIVERY_OF_CANCELLED = "DELIVERY_OF_CANCELLED"
    ORDER_MISSING = "ORDER_MISSING"
    PAYMENT_MISSING = "PAYMENT_MISSING"
    DELIVERY_MISSING = "DELIVERY_MISSING"
    ORDER_STATE_MISMATCH = "ORDER_STATE_MISMATCH"
    PAYMENT_STATE_MISMATCH = "PAYMENT_STATE_MISMATCH"
    DELIVERY_STATE_MISMATCH = "DELIVERY_STATE_MISMATCH"
    AMOUNT_MISMATCH = "AMOUNT_MISMATCH"
    PROCESS_OVERDUE = "PROCESS_OVERDUE"
    PROCESS_PARKED = "PROCESS_PARKED"
    PROCESS_UNREADABLE = "PROCESS_UNREADABLE"
    ENTITY_UNREADABLE = "ENTITY_UNREADABLE"


class Severity(StrEnum):
    """How much it matters; the contract names the same ones."""

    INFORMATION = "INFORMATION"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


class Risk(StrEnum):
    """What has become of money that nobody answers for."""

    HELD = "HELD"
    CAPTURED = "CAPTURED"


ORPHANS: Final[Mapping[EntityKind, Kind]] = MappingProxyType(
    {
        EntityKind.ORDER: Kind.ORPHAN_ORDER,
        EntityKind.PAYMENT: Kind.ORPHAN_PAYMENT,
        EntityKind.DELIVERY: Kind.ORPHAN_DELIVERY,
    }
)
OF_CANCELLED: Final[Mapping[EntityKind, Kind]] = MappingProxyType(
    {
        EntityKind.ORDER: Kind.ORDER_OF_CANCELLED_PROCESS,
        EntityKind.PAYMENT: Kind.PAYMENT_OF_CANCELLED_PROCESS,
        EntityKind.DELIVERY: Kind.DELIVERY_OF_CANCELLED,
    }
)
MISSING: Final[Mapping[EntityKind, Kind]] = MappingProxyType(
    {
        EntityKind.ORDER: Kind.ORDER_MISSING,
        EntityKind.PAYMENT: Kind.PAYMENT_MISSING,
        EntityKind.DELIVERY: Kind.DELIVERY_MISSING,
    }
)
STATE_MISMATCH: Final[Mapping[EntityKind, Kind]] = MappingProxyType(
    {
        EntityKind.ORDER: Kind.ORDER_STATE_MISMATCH,
        EntityKind.PAYMENT: Kind.PAYMENT_STATE_MISMATCH,
        EntityKind.DELIVERY: Kind.DELIVERY_STATE_MISMATCH,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that does not agree, or that a person must look at."""

    kind: Kind
    severity: Severity
    process_id: str = ""
    """Empty: no process is known."""
    entity: EntityKind | None = None
    """Which of the three it is about, where that is not clear from the kind."""
    order_id: str = ""
    payment_id: str = ""
    delivery_id: str = ""
    expected: str = ""
    found: str = ""
    amount: Money | None = None
    risk: Risk | None = None
    """Set where `amount` is money at risk."""
    since_us: int
    message: str
