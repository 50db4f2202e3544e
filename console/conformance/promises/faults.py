"""Errors: what a program reads to know why not.

Invariant: only errors that came are looked at; whether they should have come is the matter of
other promises. It must never read a message: those are for people.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import grpc

from console.conformance.answer import Answer
from console.conformance.givens import refused_request
from console.conformance.participant import Participant
from console.conformance.promise import Promise, expect, need

DOMAIN: Final = "oms"
_REASON: Final = re.compile(r"[A-Z][A-Z0-9_]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """An error that was provoked. An empty reason: the participant's own to choose."""

    what: str
    code: grpc.StatusCode
    reason: str
    answer: Answer

    @property
    def came(self) -> bool:
        """Whether it is the error that was to come."""
        return self.answer.code is self.code


def _cases(it: Participant) -> Iterator[_Case]:
    not_found, no = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION
    upper = it.kind.upper
    yield _Case(
        what="Get of an unknown id",
        code=not_found,
        reason=f"{upper}_NOT_FOUND",
        answer=it.get(it.fresh_id()),
    )
    request = it.sample()
    it.create(request)
    it.kind.others(it.knobs)[0].make(request)
    yield _Case(
        what="Create with other content",
        code=grpc.StatusCode.ALREADY_EXISTS,
        reason=f"{upper}_ID_REUSED",
        answer=it.create(request),
    )
    request = it.sample()
    it.create(request)
    it.cancel(it.id_of(request))
    yield _Case(
        what="Create after Cancel", code=no, reason="ALREADY_CANCELLED", answer=it.create(request)
    )
    wrong = it.sample()
    it.kind.mistakes(it.knobs)[0].make(wrong)
    yield _Case(
        what="a Create with a mistake",
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason="INVALID_REQUEST",
        answer=it.create(wrong),
    )
    if "confirm" in it.kind.verbs:
        yield _Case(
            what="Confirm of an unknown id",
            code=not_found,
            reason=f"{upper}_NOT_FOUND",
            answer=it.confirm(it.fresh_id()),
        )
        yield _Case(
            what="Confirm after Cancel",
            code=no,
            reason="ALREADY_CANCELLED",
            answer=it.confirm(it.id_of(request)),
        )
    variant = it.kind.refused(it.knobs)
    if variant is not None:
        request = it.sample()
        variant.make(request)
        yield _Case(
            what=f"a refused Create ({variant.says})",
            code=no,
            reason="",
            answer=it.create(request),
        )


def _told(it: Participant) -> None:
    cases = [case for case in _cases(it) if case.came]
    need(bool(cases), "no error could be provoked")
    missing = [case.what for case in cases if case.answer.info is None]
    expect(not missing, f"there is no google.rpc.ErrorInfo with {', '.join(missing)}")
    for case in cases:
        info = case.answer.info
        assert info is not None, "just looked"
        expect(info.domain == DOMAIN, f"{case.what}: the domain is {info.domain!r}, not {DOMAIN!r}")
        expect(
            _REASON.fullmatch(info.reason) is not None,
            f"{case.what}: the reason {info.reason!r} is not written like UPPER_SNAKE",
        )


def _as_agreed(it: Participant) -> None:
    cases = [case for case in _cases(it) if case.came and case.reason]
    need(bool(cases), "no error could be provoked")
    told = [case for case in cases if case.answer.info is not None]
    need(bool(told), "no error says its reason")
    for case in told:
        expect(
            case.answer.reason == case.reason,
            f"{case.what}: the reason is {case.answer.reason}, not {case.reason}",
        )


def _as_kept(it: Participant) -> None:
    request = refused_request(it)
    answer = it.create(request)
    need(answer.info is not None, f"{answer.told}, without a reason")
    there = it.get(it.id_of(request))
    need(there.ok and there.state == it.kind.refused_state, there.told)
    kept = getattr(it.entity(there), it.kind.refused_field)
    expect(
        kept == answer.reason,
        f"the error said {answer.reason}, the entity's {it.kind.refused_field} says {kept!r}",
    )


PROMISES: Final = (
    Promise(
        name="error-info",
        says='every domain error carries google.rpc.ErrorInfo, domain "oms", an UPPER_SNAKE reason',
        means="Programs decide by reasons; messages are for people and may change.",
        mend="Put a google.rpc.Status with an ErrorInfo into the trailing metadata "
        "grpc-status-details-bin; every gRPC library has a helper for it.",
        check=_told,
    ),
    Promise(
        name="reasons",
        says="the reasons are those that the comments of the contract list",
        means="ALREADY_CANCELLED and a declined card are both FAILED_PRECONDITION.",
        mend="Take the reasons from the comments of the RPCs in the proto, letter by letter.",
        check=_as_agreed,
    ),
    Promise(
        name="refusal-reason-is-stored",
        says="the entity keeps the reason that the refusal was answered with",
        means="Whoever looks at the refused entity later sees why, in the same word.",
        mend="Store the reason with the refusal and answer from what is stored.",
        check=_as_kept,
        kinds=frozenset({"payment", "delivery"}),
    ),
)
