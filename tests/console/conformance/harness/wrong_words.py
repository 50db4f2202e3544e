"""Participants that say it wrong: errors, mistakes, lists, health.

Invariant: each differs from the right one in one thing, the promise that it breaks.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any

from google.rpc import status_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo

from chassis.faults import Invalid, Violation
from chassis.listings import Listing
from chassis.validation import is_identifier
from tests.console.conformance.harness.memory import (
    CHECKS,
    Memory,
    MemoryDelivery,
    MemoryOrder,
)


class NotWell(Memory):
    breaks = "health"
    health = False


class TellsNoReason(Memory):
    breaks = "error-info"

    def told(self, status: status_pb2.Status) -> status_pb2.Status:
        kept = [it for it in status.details if it.TypeName() != "google.rpc.ErrorInfo"]
        del status.details[:]
        status.details.extend(kept)
        return status


class OfAnotherDomain(MemoryOrder):
    breaks = "error-info"

    def told(self, status: status_pb2.Status) -> status_pb2.Status:
        return _with_info(status, ErrorInfo(domain="elsewhere"))


class SaysCancelledItsOwnWay(Memory):
    breaks = "reasons"

    def told(self, status: status_pb2.Status) -> status_pb2.Status:
        if _info(status).reason == "ALREADY_CANCELLED":
            return _with_info(status, ErrorInfo(reason="GONE"))
        return status


class StoresAnotherReason(MemoryDelivery):
    breaks = "refusal-reason-is-stored"

    def told(self, status: status_pb2.Status) -> status_pb2.Status:
        if _info(status).reason == "NO_COURIER_AVAILABLE":
            return _with_info(status, ErrorInfo(reason="NOBODY"))
        return status


class TakesNegativeAmounts(Memory):
    breaks = "mistakes-are-refused"

    def check_create(self, request: Any) -> None:
        if request.HasField("amount"):
            request.amount.minor_units = max(0, request.amount.minor_units)
        super().check_create(request)


class NamesTheMessageAlone(Memory):
    breaks = "mistakes-are-named"

    def told(self, status: status_pb2.Status) -> status_pb2.Status:
        return _with_fields(status, [it.partition(".")[0] for it in _fields(status)])


class StopsAtTheFirstMistake(MemoryOrder):
    breaks = "all-mistakes-are-named"

    def told(self, status: status_pb2.Status) -> status_pb2.Status:
        return _with_fields(status, _fields(status)[:1])


class StoresBeforeItChecks(Memory):
    breaks = "mistakes-leave-nothing"

    def check_create(self, request: Any) -> None:
        try:
            super().check_create(request)
        except Invalid:
            id_ = self.id_of(request)
            if is_identifier(id_) and id_ not in self.kept:
                self.put(id_, None, "PENDING")
            raise


class ListsAnotherTime(Memory):
    breaks = "list-is-complete"

    def shown(self, verb: str, entity: Any) -> None:
        if verb == "list":
            entity.ClearField("update_time")
        super().shown(verb, entity)


class OldestFirst(Memory):
    breaks = "newest-first"

    async def listed(self, request: Any) -> tuple[Sequence[Any], str]:
        listing = CHECKS[self.kind.name][1](request)
        found = [kept.entity for kept in self.kept.values() if self.shows(listing, kept.entity)]
        found.sort(key=self.place)
        if listing.after is not None:
            found = [entity for entity in found if self.place(entity) > listing.after]
        page = found[: listing.limit]
        more = len(found) > listing.limit
        return page, listing.token(self.place(page[-1])) if more else ""


class CountsRowsToSkip(MemoryDelivery):
    breaks = "pages"

    async def listed(self, request: Any) -> tuple[Sequence[Any], str]:
        listing = CHECKS[self.kind.name][1](request)
        skipped = 0 if listing.after is None else listing.after[0]
        found = [kept.entity for kept in self.kept.values() if self.shows(listing, kept.entity)]
        found.sort(key=self.place, reverse=True)
        end = skipped + listing.limit
        return found[skipped:end], listing.token((end, "skipped")) if len(found) > end else ""


class ShowsEveryState(MemoryOrder):
    breaks = "list-filters"

    def shows_state(self, listing: Listing, entity: Any) -> bool:
        del listing, entity
        return True


class IncludesTheEnd(Memory):
    breaks = "list-times"

    def shows(self, listing: Listing, entity: Any) -> bool:
        ends = listing.created_before_us == self.place(entity)[0]
        return super().shows(listing, entity) or (
            ends and getattr(entity, self.kind.subject) == listing.subject
        )


class ForgetsTheFilters(Memory):
    breaks = "token-of-other-filters"

    async def listed(self, request: Any) -> tuple[Sequence[Any], str]:
        """Its tokens hold the page alone: what they were made with is taken from them."""
        if request.page_token:
            try:
                kept = json.loads(urlsafe_b64decode(request.page_token))
                request.page_token = kept["token"]
                subject, states = kept["subject"], kept["states"]
            except (ValueError, KeyError):
                raise _invalid("page_token") from None
            setattr(request, self.kind.subject, subject)
            del request.states[:]
            request.states.extend(states)
        page, token = await super().listed(request)
        if not token:
            return page, ""
        kept = {
            "token": token,
            "subject": getattr(request, self.kind.subject),
            "states": list(request.states),
        }
        return page, urlsafe_b64encode(json.dumps(kept).encode()).decode()


class TakesAnyToken(MemoryOrder):
    breaks = "made-up-token"

    async def listed(self, request: Any) -> tuple[Sequence[Any], str]:
        if len(request.page_token) < 40 or not request.page_token.isascii():
            request.page_token = ""
        return await super().listed(request)


class TakesANegativeSize(Memory):
    breaks = "page-sizes"

    async def listed(self, request: Any) -> tuple[Sequence[Any], str]:
        request.page_size = max(0, request.page_size)
        return await super().listed(request)


class ListsItems(MemoryOrder):
    breaks = "list-without-items"

    def shown(self, verb: str, entity: Any) -> None:
        pass


def _invalid(field: str) -> Invalid:
    return Invalid([Violation(field=field, description="is wrong")])


def _info(status: status_pb2.Status) -> ErrorInfo:
    info = ErrorInfo()
    for detail in status.details:
        detail.Unpack(info)
    return info


def _with_info(status: status_pb2.Status, change: ErrorInfo) -> status_pb2.Status:
    info = _info(status)
    info.MergeFrom(change)
    for detail in status.details:
        if detail.TypeName() == "google.rpc.ErrorInfo":
            detail.Pack(info)
    return status


def _fields(status: status_pb2.Status) -> list[str]:
    request = BadRequest()
    for detail in status.details:
        detail.Unpack(request)
    return [it.field for it in request.field_violations]


def _with_fields(status: status_pb2.Status, fields: Sequence[str]) -> status_pb2.Status:
    for detail in status.details:
        if detail.TypeName() == "google.rpc.BadRequest":
            violations = [BadRequest.FieldViolation(field=it) for it in fields]
            detail.Pack(BadRequest(field_violations=violations))
    return status


WORDS: tuple[type[Memory], ...] = (
    NotWell,
    TellsNoReason,
    OfAnotherDomain,
    SaysCancelledItsOwnWay,
    StoresAnotherReason,
    TakesNegativeAmounts,
    NamesTheMessageAlone,
    StopsAtTheFirstMistake,
    StoresBeforeItChecks,
    ListsAnotherTime,
    OldestFirst,
    CountsRowsToSkip,
    ShowsEveryState,
    IncludesTheEnd,
    ForgetsTheFilters,
    TakesAnyToken,
    TakesANegativeSize,
    ListsItems,
)
