"""Deadlines: a caller that leaves takes nothing along, and leaves nothing in the way.

Invariant: what happened to the call that ran out of time is never judged; only what comes after
is. It must never wait for a slow call to end.
"""

from typing import Final

import grpc

from console.conformance.givens import cancelled, made
from console.conformance.knobs import flag
from console.conformance.participant import Participant
from console.conformance.promise import Promise, expect, have, need

# From before the call arrives to after it has been answered, on most machines.
_DEADLINES: Final = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032)
_STUCK: Final = frozenset(
    {
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.CANCELLED,
    }
)


def _usable(it: Participant) -> None:
    before = it.sample()
    made(it, before)
    cancelled(it, it.id_of(before))
    for seconds in _DEADLINES:
        request = it.sample()
        after = f"after a call that was given {seconds * 1_000:g} ms"
        it.send("create", request, seconds=seconds).answer()
        answer = it.create(request)
        expect(
            answer.ok and answer.state == it.kind.first_state,
            f"{after}, {answer.told}, not OK with state {it.kind.first_state}",
        )
        it.send_cancel(it.id_of(request), seconds=seconds).answer()
        answer = it.cancel(it.id_of(request))
        expect(
            answer.ok and answer.state == "CANCELLED",
            f"{after}, {answer.told}, not OK with state CANCELLED",
        )


def _slow(it: Participant) -> None:
    have(it.knobs.slow_method, flag("slow_method"))
    before = it.once("get", it.fresh_id())
    need(before.code not in _STUCK, before.told)
    late = it.sample()
    made(it, late)
    cancelled(it, it.id_of(late))
    need(
        it.create(late).code is grpc.StatusCode.FAILED_PRECONDITION,
        "a Create after a Cancel is not refused when nothing is slow either",
    )
    requests = [it.sample() for _ in range(it.knobs.at_once)]
    for request in requests:
        request.payment_method = it.knobs.slow_method
    sent = [
        it.send("create", request, seconds=it.knobs.short_deadline_seconds) for request in requests
    ]
    for one in sent:
        one.answer()
    after = f"after {len(sent)} calls that ran out of time"
    other = it.once("get", it.fresh_id())
    expect(other.code not in _STUCK, f"{after}, of another id, {other.told}")
    id_ = it.id_of(requests[0])
    there = it.once("get", id_)
    expect(there.code not in _STUCK, f"{after}, of the id of one of them, {there.told}")
    cancel = it.once("cancel", id_)
    expect(
        (cancel.ok and cancel.state == "CANCELLED") or cancel.passing,
        f"{after}, {cancel.told}, neither OK with state CANCELLED nor ABORTED",
    )
    again = it.send("create", requests[0], seconds=it.knobs.call_seconds).answer()
    expect(
        again.code is grpc.StatusCode.FAILED_PRECONDITION or again.passing,
        f"{after}, and a Cancel, {again.told}, not FAILED_PRECONDITION",
    )
    # What they were going to hold is not wanted; whoever is asked carries it out in time.
    for leaving in [it.send_cancel(it.id_of(request)) for request in requests[1:]]:
        leaving.answer()


PROMISES: Final = (
    Promise(
        name="short-deadlines",
        says="after a call that ran out of time, at any moment of it, the id is as good as ever",
        means="A deadline can pass anywhere: before the work, in the middle, before the answer. "
        "The saga then asks again under the same id.",
        mend="Let a transaction that has begun end, whoever waits for it; never leave a lock or "
        "half an entity behind when a handler is cancelled.",
        check=_usable,
    ),
    Promise(
        name="slow-calls-in-no-way",
        says="calls that ran out of time are in nobody's way: reads and a Cancel are answered",
        means="When the outside world is slow the saga turns back at its deadline, and the undo "
        "must get through at once.",
        mend="Never wait for the outside world in a transaction, under a lock, or in a thread that "
        "other calls need; store what is asked, ask in the background, and answer a Cancel "
        "meanwhile with ABORTED.",
        check=_slow,
        kinds=frozenset({"payment"}),
    ),
)
