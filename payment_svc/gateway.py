"""The port to the payment gateway: what the payment service needs from whoever moves the money.

Invariant: every question carries the payment's id as its idempotency key, so asking again is
always safe. It must never be asked inside a database transaction, and never before the payment says
that it is being asked (see `asks.py`, the only caller).

To plug in a real gateway, write a class with these four methods and hand it over in `__main__.py`
in place of the sandbox. What the service relies on:

- **Idempotent.** For one payment_id each of hold, capture and release takes effect at most once. A
  repeat, minutes or days later and maybe after a crash of this service, gets the first answer.
- **Truthful.** Approved, Declined and a release are facts, for good. Whatever is not known for sure
  (a timeout, a broken connection, an error page, a rate limit) is `GatewayUnavailable`: the service
  asks again with a growing pause until it knows. A release that the gateway will not do now is
  unknown as well, never a decline: the money is still there.
- **Cancellable.** A question may be cancelled at any await, when it takes too long or the process
  drains. It is then unknown, and asked again.
- **Bounded reasons.** `Declined.reason` reaches callers as the error's reason. The contract names
  PAYMENT_DECLINED and INSUFFICIENT_FUNDS; map what the gateway says to these.

An amount is never zero here: nobody is asked where there is nothing to pay.
"""

from typing import Protocol

from payment_svc.domain import Approved, Declined, Money, Release


class GatewayUnavailable(Exception):  # noqa: N818 - named by what is the case
    """What the gateway did, if anything, is not known. Ask again."""


class PaymentGateway(Protocol):
    """Holds, takes and gives back money."""

    def knows(self, method: str) -> bool:
        """Whether `method` names a payment method; at once, without asking anybody."""
        ...

    async def hold(self, payment_id: str, amount: Money, method: str) -> Approved | Declined:
        """Reserves `amount`. Declined: nothing is reserved, and never will be under this id.

        Raises:
            GatewayUnavailable: Not known.
        """
        ...

    async def capture(self, payment_id: str, amount: Money) -> Approved | Declined:
        """Takes `amount`, all of what is held. Declined: it is still held, and will not be taken.

        Raises:
            GatewayUnavailable: Not known.
        """
        ...

    async def release(self, payment_id: str) -> Release:
        """Gives back all that is held or was taken, and says which it was.

        Afterwards a hold or capture with this id is declined.

        Raises:
            GatewayUnavailable: Not known, or not done yet.
        """
        ...
