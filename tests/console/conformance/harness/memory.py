"""A tiny participant in memory, of any kind, that keeps every promise.

Invariant: between reading what is kept and changing it nothing is awaited, so each call is alone.
Every step that a wrong participant gets wrong is a method of its own here.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import grpc
import grpc.aio
from google.rpc import status_pb2
from grpc_status import rpc_status

from chassis.faults import Conflict, Fault, NotFound, Rejected
from chassis.listings import Listing
from chassis.statuses import to_status
from chassis.timestamps import to_timestamp
from console.conformance.deliveries import DELIVERY
from console.conformance.kind import Kind
from console.conformance.orders import ORDER
from console.conformance.payments import PAYMENT
from delivery_svc import requests as delivery_requests
from order_svc import requests as order_requests
from payment_svc import requests as payment_requests

DECLINED: Final = "pm_card_chargeDeclined"
CONFIRM_DECLINED: Final = "pm_sandbox_confirmDeclined"
SLOW: Final = "pm_sandbox_slow"
METHODS: Final = frozenset({"pm_card_visa", DECLINED, CONFIRM_DECLINED, SLOW})
UNSERVED: Final = "AQ"

# What the three services say is wrong with a Create and with a List.
CHECKS: Final[Mapping[str, tuple[Callable[[Any], object], Callable[[Any], Listing]]]] = {
    "order": (order_requests.read_create, order_requests.read_list),
    "payment": (
        lambda request: payment_requests.read_create(request, METHODS.__contains__),
        payment_requests.read_list,
    ),
    "delivery": (delivery_requests.read_create, delivery_requests.read_list),
}
ID_CHECKS: Final[Mapping[str, Callable[[str], str]]] = {
    "order": order_requests.read_order_id,
    "payment": payment_requests.read_payment_id,
    "delivery": delivery_requests.read_delivery_id,
}


@dataclass(slots=True, kw_only=True)
class Kept:
    """An entity, and the Create that it came from; a tombstone came from none."""

    entity: Any
    content: Any


class Memory:
    """The participant. A wrong one says in `breaks` which promise it does not keep."""

    kind: ClassVar[Kind] = PAYMENT
    breaks: ClassVar[str] = ""
    health: ClassVar[bool] = True
    reflection: ClassVar[bool] = True

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}
        self._last_us = 0

    # What each RPC does.

    async def create(self, request: Any) -> Any:
        self.check_create(request)
        id_ = self.id_of(request) or self.draw()
        content = type(request)()
        content.CopyFrom(request)
        content.ClearField(self.kind.id_field)
        kept = self.kept.get(id_)
        if kept is None:
            return await self.begin(id_, content)
        return await self.again(id_, kept, content)

    async def begin(self, id_: str, content: Any) -> Any:
        """A Create of an id never seen."""
        if self.is_slow(content):
            self.put(id_, content, "PENDING")
            # Its gateway never answers; the caller's deadline ends the wait.
            await asyncio.Event().wait()
        if refusal := self.refusal(content):
            self.refuse(id_, content, refusal)
            raise Rejected(refusal, "refused")
        return self.put(id_, content, self.kind.first_state).entity

    async def again(self, id_: str, kept: Kept, content: Any) -> Any:
        """A Create of an id that is known."""
        assert id_ == self.id_of(kept.entity), "what is kept under an id has it"
        if self.state(kept) == "CANCELLED":
            raise self.already_cancelled()
        if kept.content != content:
            raise Conflict(f"{self.kind.upper}_ID_REUSED", "the id has other content")
        if self.state(kept) == self.kind.refused_state:
            raise Rejected(self.reason(kept), "refused")
        return kept.entity

    async def confirm(self, id_: str) -> Any:
        kept = self.kept.get(id_)
        if kept is None:
            raise self.not_found()
        match self.state(kept):
            case "CANCELLED":
                raise self.already_cancelled()
            case "CONFIRMED":
                return kept.entity
            case _:
                pass
        if reason := self.reason(kept):
            raise Rejected(reason, "refused")
        if self.declines_confirm(kept):
            kept.entity.decline_reason = "PAYMENT_DECLINED"
            raise Rejected("PAYMENT_DECLINED", "refused")
        return self.move(kept, "CONFIRMED")

    async def cancel(self, id_: str) -> Any:
        kept = self.kept.get(id_)
        if kept is None:
            return self.put(id_, None, "CANCELLED").entity
        match self.state(kept):
            case "CANCELLED" | "DECLINED" | "REJECTED":
                return kept.entity
            case state:
                self.release(kept, state)
                return self.move(kept, "CANCELLED")

    async def get(self, id_: str) -> Any:
        kept = self.kept.get(id_)
        if kept is None:
            raise self.not_found()
        return kept.entity

    async def listed(self, request: Any) -> tuple[Sequence[Any], str]:
        """The page, and the token of the next."""
        listing = CHECKS[self.kind.name][1](request)
        found = [kept.entity for kept in self.kept.values() if self.shows(listing, kept.entity)]
        found.sort(key=self.place, reverse=True)
        if listing.after is not None:
            found = [entity for entity in found if self.place(entity) < listing.after]
        page = found[: listing.limit]
        more = len(found) > listing.limit
        return page, listing.token(self.place(page[-1])) if more else ""

    # What they are made of.

    def check_create(self, request: Any) -> None:
        CHECKS[self.kind.name][0](request)

    def check_id(self, id_: str) -> None:
        ID_CHECKS[self.kind.name](id_)

    def id_of(self, message: Any) -> str:
        return str(getattr(message, self.kind.id_field))

    def draw(self) -> str:
        return f"{self.kind.id_prefix}_{uuid.uuid4().hex}"

    def now_us(self) -> int:
        self._last_us = max(self._last_us + 1, time.time_ns() // 1_000)
        return self._last_us

    def state(self, kept: Kept) -> str:
        names = {number: name for name, number in self.kind.states.items()}
        return names[kept.entity.state]

    def reason(self, kept: Kept) -> str:
        field = self.kind.refused_field
        return str(getattr(kept.entity, field)) if field else ""

    def is_slow(self, content: Any) -> bool:
        return self.kind is PAYMENT and content.payment_method == SLOW

    def refusal(self, content: Any) -> str:
        if self.kind is PAYMENT and content.payment_method == DECLINED:
            return "PAYMENT_DECLINED"
        if self.kind is DELIVERY and content.address.country_code == UNSERVED:
            return "NO_COURIER_AVAILABLE"
        return ""

    def refuse(self, id_: str, content: Any, refusal: str) -> None:
        kept = self.put(id_, content, self.kind.refused_state)
        setattr(kept.entity, self.kind.refused_field, refusal)

    def declines_confirm(self, kept: Kept) -> bool:
        return self.kind is PAYMENT and kept.entity.payment_method == CONFIRM_DECLINED

    def release(self, kept: Kept, state: str) -> None:
        if self.kind is PAYMENT and state != "PENDING":
            kept.entity.release = 2 if state == "CONFIRMED" else 1

    def put(self, id_: str, content: Any, state: str) -> Kept:
        """A new entity, over whatever there was."""
        entity = getattr(self.kind.verbs["get"].response(), self.kind.entity)
        setattr(entity, self.kind.id_field, id_)
        if content is not None:
            self.fill(entity, content)
        now_us = self.now_us()
        entity.state = self.kind.states[state]
        entity.create_time.CopyFrom(to_timestamp(now_us))
        entity.update_time.CopyFrom(to_timestamp(now_us))
        if self.kind is DELIVERY and state == "ASSIGNED":
            entity.courier_id = "courier-1"
        self.kept[id_] = Kept(entity=entity, content=content)
        return self.kept[id_]

    def fill(self, entity: Any, content: Any) -> None:
        for field, value in content.ListFields():
            if field.message_type is None:
                setattr(entity, field.name, value)
            else:
                getattr(entity, field.name).MergeFrom(value)
        if self.kind is ORDER:
            entity.total.currency_code = content.items[0].unit_price.currency_code
            entity.total.minor_units = self.total(content)

    def total(self, content: Any) -> int:
        return sum(it.quantity * it.unit_price.minor_units for it in content.items)

    def move(self, kept: Kept, state: str) -> Any:
        kept.entity.state = self.kind.states[state]
        self.touch(kept)
        return kept.entity

    def touch(self, kept: Kept) -> None:
        kept.entity.update_time.CopyFrom(to_timestamp(self.now_us()))

    def place(self, entity: Any) -> tuple[int, str]:
        return entity.create_time.ToMicroseconds(), self.id_of(entity)

    def shows(self, listing: Listing, entity: Any) -> bool:
        created_us, _ = self.place(entity)
        return (
            self.shows_state(listing, entity)
            and listing.subject in {"", getattr(entity, self.kind.subject)}
            and (listing.created_from_us is None or created_us >= listing.created_from_us)
            and (listing.created_before_us is None or created_us < listing.created_before_us)
        )

    def shows_state(self, listing: Listing, entity: Any) -> bool:
        names = {number: name for name, number in self.kind.states.items()}
        return not listing.states or names[entity.state] in listing.states

    def already_cancelled(self) -> Fault:
        return Rejected("ALREADY_CANCELLED", "it was cancelled")

    def not_found(self) -> Fault:
        return NotFound(f"{self.kind.upper}_NOT_FOUND", "there is none")

    # How it is told.

    def shown(self, verb: str, entity: Any) -> None:
        """Leaves of an entity what a caller gets to see."""
        if verb == "list" and self.kind is ORDER:
            entity.ClearField("items")

    def told(self, status: status_pb2.Status) -> status_pb2.Status:
        """What a caller gets to see of an error."""
        return status

    async def answer(self, verb: str, request: Any) -> Any:
        response: Any = self.kind.verbs[verb].response()
        if verb == "list":
            page, response.next_page_token = await self.listed(request)
            for entity in page:
                shown = getattr(response, self.kind.entities).add()
                shown.CopyFrom(entity)
                self.shown(verb, shown)
            return response
        if verb == "create":
            entity = await self.create(request)
        else:
            id_ = self.id_of(request)
            self.check_id(id_)
            entity = await {"confirm": self.confirm, "cancel": self.cancel, "get": self.get}[verb](
                id_
            )
        shown = getattr(response, self.kind.entity)
        shown.CopyFrom(entity)
        self.shown(verb, shown)
        return response

    def handlers(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            self.kind.service,
            {
                its.rpc: grpc.unary_unary_rpc_method_handler(
                    self._behaviour(verb),
                    request_deserializer=its.request.FromString,
                    response_serializer=its.response.SerializeToString,
                )
                for verb, its in self.kind.verbs.items()
            },
        )

    def _behaviour(self, verb: str) -> Any:
        async def behave(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            try:
                return await self.answer(verb, request)
            except Fault as fault:
                status = rpc_status.to_status(self.told(to_status(fault)))
                return await context.abort_with_status(status)

        return behave


class MemoryOrder(Memory):
    kind = ORDER


class MemoryDelivery(Memory):
    kind = DELIVERY
