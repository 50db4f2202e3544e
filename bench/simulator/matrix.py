"""docs/failure_matrix.md: for every step and every fault what happens, as the explorer saw it.

Invariant: every row is a run; what it says is read off that run's history. Must never: promise what
was not run.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from bench.simulator import faults
from bench.simulator.evidence import RawEvent
from bench.simulator.faults import CODES, LIKE, MENU, Place
from bench.simulator.named import ORDERS, load_world
from bench.simulator.plan import Plan
from bench.simulator.run import Outcome, Player

_WORDS: Final[Mapping[str, str]] = {
    faults.LOST: "the request is lost",
    faults.UNANSWERED: "it is done, and the reply is lost",
    faults.LATE: "the request arrives only after the next attempt",
    faults.LAST: "the request is given up, and arrives when all is over",
    faults.CUT_LAST: "the connection breaks, and the request arrives when all is over",
    faults.TWICE: "the request arrives twice",
    faults.TWICE_LAST: "the request arrives, and once more when all is over",
    faults.DOWN: "the participant crashes as the request arrives",
    faults.OUT_SHORT: "the participant is away for 5 seconds",
    faults.OUT_LONG: "the participant is away for 100 seconds, longer than the process may take",
    faults.CRASH_BEFORE: "the orchestrator crashes before the call leaves",
    faults.CRASH_FLIGHT: "the orchestrator crashes, and the request arrives when all is over",
    faults.CRASH_AFTER: "it is done, and the orchestrator crashes before it hears so",
    faults.USURPED_BEFORE: "the orchestrator stops before the call, is succeeded, and goes on",
    faults.USURPED_AFTER: "it is done, and the orchestrator stops, is succeeded, and goes on",
    faults.OVERTAKEN_BEFORE: "the orchestrator is succeeded just before the call, without noticing",
    faults.OVERTAKEN_AFTER: "it is done, and the orchestrator is succeeded without noticing",
    faults.CANCEL_BEFORE: "somebody cancels just before the call",
    faults.CANCEL_AFTER: "it is done, and somebody cancels before the reply is stored",
    faults.RETRY: "an operator wants a retry, though nothing is parked",
    faults.RESOLVE: "an operator wants to resolve, though nothing is parked",
}
_STORED: Final[Mapping[str, str]] = {
    faults.LOST: "the store does not answer, and nothing was written",
    faults.UNANSWERED: "the store does not answer, though it has written",
    faults.CRASH_BEFORE: "the program crashes before the commit",
    faults.CRASH_AFTER: "the program crashes right after the commit",
    faults.SLOW: "the answer takes longer than anybody waits for",
    faults.USURPED_BEFORE: "the orchestrator stops before the commit, is succeeded, and goes on",
    faults.USURPED_AFTER: "the orchestrator stops after the commit, is succeeded, and goes on",
    faults.OVERTAKEN_BEFORE: "the orchestrator is succeeded just before the commit",
    faults.OVERTAKEN_AFTER: "the orchestrator is succeeded just after the commit",
    faults.CANCEL_BEFORE: "somebody cancels between the decision and the commit",
    faults.CANCEL_AFTER: "somebody cancels right after the commit",
}
_ASKED: Final[Mapping[str, str]] = {
    **_STORED,
    faults.LOST: "the gateway does not answer, and did nothing",
    faults.UNANSWERED: "the gateway does not answer, though it did what it was asked",
    faults.CRASH_BEFORE: "the payment service crashes before it asks",
    faults.CRASH_AFTER: "the payment service crashes before it hears the answer",
}


def drawn() -> Iterator[str]:
    """The document."""
    player = Player(load_world(ORDERS))
    yield "# What happens when something goes wrong"
    yield ""
    yield "Written by `python -m bench.simulator matrix` from runs of the system itself: each row"
    yield "is one run of an order, with one fault where it says. In none of them was anything"
    yield "charged twice, lost or left half done; `make explore` tries all of these and every pair."
    yield ""
    yield "COMPLETED: confirmed, paid once, a courier assigned. CANCELLED: everything was undone,"
    yield "nothing is held or taken. PARKED: a person must look."
    delivered = Plan(scenario="delivered")
    base = player.play(delivered)
    yield from _calls(player, delivered, base, Place.CALL, "Step")
    last = max(at for at, (place, _) in enumerate(base.points) if place is Place.CALL)
    cancelled = delivered.and_then(last, faults.CANCEL_AFTER)
    undoing = player.play(cancelled)
    yield from _calls(player, cancelled, undoing, Place.UNDO, "Undo")
    yield from _stores(player, cancelled, undoing, Place.COMMIT, _STORED)
    yield from _stores(player, cancelled, undoing, Place.ASK, _ASKED)
    yield from _log(player, delivered, base)
    yield from _at_rest(player)


def _calls(player: Player, plan: Plan, base: Outcome, place: Place, kind: str) -> Iterator[str]:
    """One table for each action."""
    for point, (at, action) in enumerate(base.points):
        if at is not place:
            continue
        yield ""
        yield f"## {kind} `{action}`"
        yield ""
        yield "| what goes wrong | what happens | ends |"
        yield "|---|---|---|"
        yield from _rows(player, plan, point, action, place)


def _rows(player: Player, plan: Plan, point: int, action: str, place: Place) -> Iterator[str]:
    rows: dict[tuple[str, str, str], list[str]] = {}
    for fault in MENU[place]:
        outcome = _played(player, plan, point, fault)
        happened = _happened(outcome.history, action)
        if fault in CODES:
            code, after = CODES[fault]
            key = (LIKE[fault], happened, outcome.phase)
            rows.setdefault(key, []).append(code.name)
            _AFTER[key[0]] = after
        else:
            rows[_WORDS[fault], happened, outcome.phase] = []
    for (what, happened, phase), codes in rows.items():
        words = what
        if codes:
            when = "it is done, and answered" if _AFTER[what] else "nothing is done, but answered"
            words = f"{when} {', '.join(codes)}"
        yield f"| {words} | {happened} | {phase} |"


_AFTER: Final[dict[str, bool]] = {}


def _stores(
    player: Player, plan: Plan, base: Outcome, place: Place, words: Mapping[str, str]
) -> Iterator[str]:
    """One table for each store or question, over all the points where it is used."""
    for name in dict.fromkeys(name for at, name in base.points if at is place):
        yield ""
        yield f"## {name.capitalize()} store" if place is Place.COMMIT else f"## Gateway: {name}"
        yield ""
        yield "Each time that it is used by an order that is delivered and then cancelled:"
        yield ""
        yield "| what goes wrong | how often tried | ends |"
        yield "|---|--:|---|"
        points = [
            point
            for point, at in enumerate(base.points)
            if at == (place, name) and point not in dict(plan.faults)
        ]
        yield from _summed(player, plan, points, MENU[place], words)


def _log(player: Player, plan: Plan, base: Outcome) -> Iterator[str]:
    yield ""
    yield "## The saga log"
    yield ""
    yield "At each commit of an order that is delivered:"
    yield ""
    yield "| what goes wrong | how often tried | ends |"
    yield "|---|--:|---|"
    points = [point for point, (at, _) in enumerate(base.points) if at is Place.LOG]
    menu = [fault for fault in MENU[Place.LOG] if fault in _STORED]
    words = {
        **_STORED,
        faults.CRASH_BEFORE: "the orchestrator crashes before the commit",
        faults.CRASH_AFTER: "the orchestrator crashes right after the commit",
    }
    yield from _summed(player, plan, points, menu, words)


def _summed(
    player: Player,
    plan: Plan,
    points: Sequence[int],
    menu: Sequence[str],
    words: Mapping[str, str],
) -> Iterator[str]:
    first = plan.faults[-1][0] if plan.faults else -1
    for fault in menu:
        ends: dict[str, int] = {}
        for point in points:
            # Before the fault that the plan has already, the plan is tried without it.
            bare = Plan(scenario=plan.scenario) if point <= first else plan
            outcome = _played(player, bare, point, fault)
            ends[outcome.phase] = ends.get(outcome.phase, 0) + 1
        said = ", ".join(
            phase if count == len(points) else f"{phase} ({count})"
            for phase, count in sorted(ends.items())
        )
        yield f"| {words[fault]} | {len(points)} | {said} |"


def _at_rest(player: Player) -> Iterator[str]:
    yield ""
    yield "## When the process is at rest"
    yield ""
    yield "| what somebody does | to a process that is | what happens | ends |"
    yield "|---|---|---|---|"
    refused = Plan(scenario="undeliverable")
    base = player.play(refused)
    undo = next(at for at, (place, _) in enumerate(base.points) if place is Place.UNDO)
    for plan in (
        Plan(scenario="delivered"),
        refused,
        refused.and_then(undo, "FAILED_PRECONDITION"),
    ):
        before = player.play(plan)
        for fault, words in (
            (faults.CANCEL_BEFORE, "cancels it"),
            (faults.RETRY, "wants it tried afresh"),
            (faults.RESOLVE, "has done the undo by hand, and says so"),
        ):
            outcome = _played(player, plan, len(before.points) - 1, fault)
            more = outcome.history[len(before.history) :]
            happened = _went_on(more) if more else "nothing: it is turned away"
            yield f"| {words} | {before.phase} | {happened} | {outcome.phase} |"


def _played(player: Player, plan: Plan, point: int, fault: str) -> Outcome:
    faulty = plan.and_then(point, fault)
    outcome = player.play(faulty)
    assert not outcome.violations, f"{faulty}: {outcome.violations[0]}"
    return outcome


def _happened(history: Sequence[RawEvent], action: str) -> str:
    """A history in words, seen from an action."""
    attempts = [body for body in _bodies(history, "attempt_began") if body["action"] == action]
    said = []
    if not attempts:
        said.append("it is not begun")
    elif len(attempts) > 1:
        said.append(f"it is tried {len(attempts)} times")
    if any(event.kind == "parked" for event in history):
        return "; ".join([*said, "it cannot be undone without a person"])
    undone = [
        body["action"]
        for body in _bodies(history, "attempt_ended")
        if body["code"] == "OK" and body["action"].startswith("cancel_")
    ]
    if any(event.kind == "compensation_began" for event in history):
        reasons = [body.get("reason", "") for body in _bodies(history, "compensation_began")]
        late = (
            "the process runs out of time and turns back"
            if any(reason == "PROCESS_DEADLINE_EXCEEDED" for reason in reasons)
            else "the process turns back"
        )
        said.append(late)
        done = ", then ".join(f"`{undo}`" for undo in undone) or "nothing, for nothing was done"
        said.append(f"undone by {done}" if undone else done)
    if not said:
        said.append("nothing: it goes on")
    return "; ".join(said)


def _went_on(events: Sequence[RawEvent]) -> str:
    done = [
        f"`{body['action']}`" for body in _bodies(events, "attempt_ended") if body["code"] == "OK"
    ]
    return "undone by " + ", then ".join(done) if done else "it is noted in the history"


def _bodies(history: Sequence[RawEvent], kind: str) -> list[dict[str, str]]:
    return [json.loads(event.body) for event in history if event.kind == kind]
