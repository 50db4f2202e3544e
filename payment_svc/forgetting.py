"""Which payments may be forgotten.

Invariant: money that is held, or may be, is never forgotten: somebody has to take it or to give it
back. It must never ask anybody anything, as the domain must not.
"""

from typing import Final

from payment_svc.domain import Payment, Stage

# Where a payment asks nothing of the gateway, and stays as it is unless somebody cancels it.
OVER: Final = frozenset({Stage.CONFIRMED, Stage.DECLINED, Stage.CANCELLED})


def forget(payment: Payment | None) -> Payment | None:
    """Wants the payment forgotten, tombstones included. One that is not over stays as it is."""
    return None if payment is None or payment.stage in OVER else payment
