"""Participants that get the life of an entity wrong: made, refused, confirmed, cancelled.

Invariant: each differs from the right one in one thing, the promise that it breaks.
"""

from typing import Any

from chassis.faults import Fault, Invalid, Rejected, Violation
from tests.console.conformance.harness.memory import (
    CONFIRM_DECLINED,
    Kept,
    Memory,
    MemoryDelivery,
    MemoryOrder,
)


class WithoutUpdateTime(Memory):
    breaks = "creates"

    def shown(self, verb: str, entity: Any) -> None:
        entity.ClearField("update_time")
        super().shown(verb, entity)


class WrongTotal(MemoryOrder):
    breaks = "creates"

    def total(self, content: Any) -> int:
        return sum(int(it.unit_price.minor_units) for it in content.items)


class KeepsTheIdToItself(Memory):
    breaks = "gives-back-the-id"

    def shown(self, verb: str, entity: Any) -> None:
        if verb == "create" and not self.drawn(self.id_of(entity)):
            entity.ClearField(self.kind.id_field)
        super().shown(verb, entity)

    def draw(self) -> str:
        return f"drawn-{super().draw()}"

    def drawn(self, id_: str) -> bool:
        return id_.startswith("drawn-")


class DrawsAnIdThoughOneWasGiven(Memory):
    breaks = "gives-back-the-id"

    async def create(self, request: Any) -> Any:
        given = self.id_of(request)
        self.check_create(request)
        # The rest is as it should be, or it would break other promises as well.
        if len(given) < 128 and given not in self.kept and not self.refusal(request):
            setattr(request, self.kind.id_field, self.draw())
        return await super().create(request)


class DrawsOneIdForAll(Memory):
    breaks = "draws-an-id"

    def draw(self) -> str:
        return "the-one"


class TouchesWhatIsRepeated(Memory):
    breaks = "same-create-again"

    async def again(self, id_: str, kept: Kept, content: Any) -> Any:
        entity = await super().again(id_, kept, content)
        if self.state(kept) == self.kind.first_state:
            self.touch(kept)
        return entity


class SetsBackWhatWasConfirmed(Memory):
    breaks = "create-as-it-is-now"

    async def again(self, id_: str, kept: Kept, content: Any) -> Any:
        entity = await super().again(id_, kept, content)
        if self.state(kept) == "CONFIRMED":
            entity.state = self.kind.states["HELD"]
        return entity


class Overwrites(Memory):
    breaks = "other-content-refused"

    async def again(self, id_: str, kept: Kept, content: Any) -> Any:
        if self.state(kept) == "HELD" and kept.content != content:
            return self.put(id_, content, "HELD").entity
        return await super().again(id_, kept, content)


class MindsZero(Memory):
    breaks = "limits-are-reached"

    def check_create(self, request: Any) -> None:
        super().check_create(request)
        if request.amount.minor_units == 0:
            raise Invalid([Violation(field="amount.minor_units", description="must be more")])


class CutsWhatIsLong(MemoryDelivery):
    breaks = "limits-are-reached"

    def fill(self, entity: Any, content: Any) -> None:
        super().fill(entity, content)
        entity.address.recipient = entity.address.recipient[:100]


class MindsLongIds(Memory):
    breaks = "longest-id"

    def check_create(self, request: Any) -> None:
        super().check_create(request)
        if len(self.id_of(request)) > 64:
            raise Invalid([Violation(field=self.kind.id_field, description="is too long")])


class ForgetsTheCourier(MemoryDelivery):
    breaks = "reads"

    def shown(self, verb: str, entity: Any) -> None:
        if verb in {"get", "list"}:
            entity.ClearField("courier_id")
        super().shown(verb, entity)


class ReadsOnlyOnce(Memory):
    breaks = "get-of-unknown"

    def __init__(self) -> None:
        super().__init__()
        self._asked: set[str] = set()

    async def get(self, id_: str) -> Any:
        if id_ not in self.kept and id_ in self._asked:
            raise Rejected("ASKED_BEFORE", "no")
        self._asked.add(id_)
        return await super().get(id_)


class DoesNotStoreARefusal(Memory):
    breaks = "refusal-is-stored"

    def refuse(self, id_: str, content: Any, refusal: str) -> None:
        pass


class ThinksBetterOfARefusal(Memory):
    breaks = "refusal-is-repeated"

    async def again(self, id_: str, kept: Kept, content: Any) -> Any:
        if self.state(kept) == "DECLINED" and kept.content == content:
            return self.put(id_, content, "HELD").entity
        return await super().again(id_, kept, content)


class FreesARefusedId(MemoryDelivery):
    breaks = "refused-id-is-taken"

    async def again(self, id_: str, kept: Kept, content: Any) -> Any:
        if self.state(kept) == "REJECTED" and kept.content != content:
            return self.put(id_, content, "ASSIGNED").entity
        return await super().again(id_, kept, content)


class ConfirmsWhatWasRefused(Memory):
    breaks = "confirm-of-refused"

    async def confirm(self, id_: str) -> Any:
        kept = self.kept.get(id_)
        if kept is not None and self.state(kept) == "DECLINED":
            return self.move(kept, "CONFIRMED")
        return await super().confirm(id_)


class ThinksBetterOfADeclinedConfirm(Memory):
    breaks = "declined-confirm"

    async def confirm(self, id_: str) -> Any:
        kept = self.kept.get(id_)
        again = kept is not None and self.state(kept) == "HELD" and self.reason(kept)
        if kept is not None and again and kept.entity.payment_method == CONFIRM_DECLINED:
            return self.move(kept, "CONFIRMED")
        return await super().confirm(id_)


class LeavesNoTombstone(Memory):
    breaks = "cancel-leaves-tombstone"

    async def cancel(self, id_: str) -> Any:
        known = id_ in self.kept
        entity = await super().cancel(id_)
        if not known:
            del self.kept[id_]
        return entity


class FailsWhereThereIsNothingToCancel(MemoryDelivery):
    breaks = "cancel-leaves-tombstone"

    async def cancel(self, id_: str) -> Any:
        if id_ not in self.kept:
            raise self.not_found()
        return await super().cancel(id_)


class CreatesOverATombstone(Memory):
    breaks = "create-after-tombstone"

    async def again(self, id_: str, kept: Kept, content: Any) -> Any:
        if kept.content is None:
            return self.put(id_, content, "HELD").entity
        return await super().again(id_, kept, content)


class RevivesWhatWasCancelled(Memory):
    breaks = "create-after-cancel"

    async def again(self, id_: str, kept: Kept, content: Any) -> Any:
        if self.state(kept) == "CANCELLED" and kept.content == content:
            return self.move(kept, "HELD")
        return await super().again(id_, kept, content)


class CannotCancel(Memory):
    """One that fails to cancel what is in the state `from_`."""

    from_ = ""

    async def cancel(self, id_: str) -> Any:
        kept = self.kept.get(id_)
        if kept is not None and self.state(kept) == self.from_:
            raise self.refusal_to_cancel()
        return await super().cancel(id_)

    def refusal_to_cancel(self) -> Fault:
        return Rejected("NOT_CANCELLABLE", "it cannot be cancelled")


class CannotCancelANewOne(CannotCancel):
    breaks = "cancel-of-new"
    from_ = "HELD"


class CannotCancelAConfirmedOne(CannotCancel):
    breaks = "cancel-of-confirmed"
    from_ = "CONFIRMED"


class CannotCancelARefusedOne(CannotCancel):
    breaks = "cancel-of-refused"
    from_ = "DECLINED"


class TouchesWhatIsCancelled(Memory):
    breaks = "same-cancel-again"

    async def cancel(self, id_: str) -> Any:
        kept = self.kept.get(id_)
        entity = await super().cancel(id_)
        if kept is not None and self.state(kept) == "CANCELLED":
            self.touch(kept)
        return entity


class CallsARefundAVoid(Memory):
    breaks = "release-is-told"

    def release(self, kept: Kept, state: str) -> None:
        super().release(kept, "HELD" if state == "CONFIRMED" else state)


class AnswersAConfirmTooEarly(Memory):
    breaks = "confirms"

    def shown(self, verb: str, entity: Any) -> None:
        if verb == "confirm":
            entity.state = self.kind.states["HELD"]
        super().shown(verb, entity)


class ConfirmsOnlyOnce(MemoryOrder):
    breaks = "same-confirm-again"

    async def confirm(self, id_: str) -> Any:
        kept = self.kept.get(id_)
        if kept is not None and self.state(kept) == "CONFIRMED":
            raise Rejected("NOT_PENDING", "it is confirmed")
        return await super().confirm(id_)


class ConfirmsWhatItNeverSaw(Memory):
    breaks = "confirm-of-unknown"

    async def confirm(self, id_: str) -> Any:
        if id_ not in self.kept:
            return self.put(id_, None, "CONFIRMED").entity
        return await super().confirm(id_)


class ConfirmsWhatWasCancelled(MemoryOrder):
    breaks = "confirm-after-cancel"

    async def confirm(self, id_: str) -> Any:
        kept = self.kept.get(id_)
        if kept is not None and self.state(kept) == "CANCELLED":
            return self.move(kept, "CONFIRMED")
        return await super().confirm(id_)


LIVES: tuple[type[Memory], ...] = (
    WithoutUpdateTime,
    WrongTotal,
    KeepsTheIdToItself,
    DrawsAnIdThoughOneWasGiven,
    DrawsOneIdForAll,
    TouchesWhatIsRepeated,
    SetsBackWhatWasConfirmed,
    Overwrites,
    MindsZero,
    CutsWhatIsLong,
    MindsLongIds,
    ForgetsTheCourier,
    ReadsOnlyOnce,
    DoesNotStoreARefusal,
    ThinksBetterOfARefusal,
    FreesARefusedId,
    ConfirmsWhatWasRefused,
    ThinksBetterOfADeclinedConfirm,
    LeavesNoTombstone,
    FailsWhereThereIsNothingToCancel,
    CreatesOverATombstone,
    RevivesWhatWasCancelled,
    CannotCancelANewOne,
    CannotCancelAConfirmedOne,
    CannotCancelARefusedOne,
    TouchesWhatIsCancelled,
    CallsARefundAVoid,
    AnswersAConfirmTooEarly,
    ConfirmsOnlyOnce,
    ConfirmsWhatItNeverSaw,
    ConfirmsWhatWasCancelled,
)
