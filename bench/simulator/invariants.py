"""What has to hold of every saga when everything is over.

Of its histories, of its rows and calls, and of what people were told.

Invariant: it reads events as they are stored and judges them by rules of its own, written here a
second time on purpose. Must never: import the saga, the runner or anything else that it judges.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from bench.simulator.evidence import Evidence, RawEvent, SagaShape, Violation

_NOT_DONE: Final = frozenset(
    {
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "FAILED_PRECONDITION",
        "OUT_OF_RANGE",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
        "UNIMPLEMENTED",
    }
)
"""After these nothing was done: the participant, or its door, says so."""
_NOT_NOW: Final = frozenset({"ABORTED", "RESOURCE_EXHAUSTED"})
_AT_REST: Final = frozenset({"COMPLETED", "CANCELLED", "PARKED"})
_FROM_OUTSIDE: Final = frozenset({"cancel_requested", "retry_requested", "resolved_by_hand"})


def check_saga(evidence: Evidence) -> list[Violation]:
    """Everything that does not hold."""
    found = [Violation("nothing is out of order", it) for it in evidence.complaints]
    found += _rest(evidence)
    for process_id, history in evidence.histories.items():
        reader = _Reader(evidence.shape, process_id)
        for event in history:
            reader.read(event)
        found += reader.found
    found += _intents(evidence)
    found += _fences(evidence)
    found += _told(evidence)
    return found


def _rest(evidence: Evidence) -> Iterator[Violation]:
    """Every accepted process ends, and none waits without a due time."""
    for process_id, row in evidence.rows.items():
        history = evidence.histories[process_id]
        if row.phase not in _AT_REST:
            yield Violation("every process ends", f"{process_id} is {row.phase} for ever")
            if row.due_time_us is None:
                yield Violation("what goes on is due", f"{process_id} waits without a due time")
        if row.phase in _AT_REST and row.due_time_us is not None:
            yield Violation("what is at rest is not due", process_id)
        if row.revision != len(history):
            yield Violation("the row counts its history", f"{process_id}: {row.revision}")
        if row.phase != _phase(history, len(history)):
            yield Violation("the row says what the history says", f"{process_id} is {row.phase}")


def _phase(history: Any, revision: int) -> str:  # noqa: ANN401 - a sequence of events
    """Where a process was after so many events."""
    phase = before = ""
    for event in history[:revision]:
        match event.kind:
            case "started":
                phase = "RUNNING"
            case "compensation_began":
                phase = "COMPENSATING"
            case "completed":
                phase = "COMPLETED"
            case "cancelled":
                phase = "CANCELLED"
            case "parked":
                before, phase = phase, "PARKED"
            case "cancel_requested" if phase == "COMPLETED":
                phase = "COMPENSATING"
            case "retry_requested":
                phase = before
            case "resolved_by_hand":
                phase = "COMPENSATING"
            case _:
                pass
    return phase


class _Reader:
    """Reads one history and complains."""

    def __init__(self, shape: SagaShape, process_id: str) -> None:
        self.found: list[Violation] = []
        self._shape = shape
        self._process_id = process_id
        self._revision = 0
        self._deadline_us = 0
        self._time_us = 0
        self._phase = ""
        self._wish = False
        self._under_way: tuple[str, int] | None = None
        self._attempts: dict[str, int] = {}
        self._not_before_us: dict[str, int] = {}
        self._last_code: dict[str, str] = {}
        self._done: list[str] = []
        """Actions whose effect is there, in order."""
        self._begun: list[str] = []
        self._maybe: set[str] = set()
        """Steps that were done, or may have been."""

    def read(self, event: RawEvent) -> None:  # noqa: C901, PLR0912 - flat: one case for each kind
        """Takes one event in."""
        self._revision += 1
        body = json.loads(event.body)
        if self._phase in {"COMPLETED", "CANCELLED"} and event.kind != "cancel_requested":
            self._say("what is over is over", f"{event.kind} after {self._phase}")
        if event.kind not in _FROM_OUTSIDE:
            # People's clocks are their own; and an answer that was kept while the log was away is
            # older than what people wrote meanwhile.
            if event.time_us < self._time_us:
                self._say("time never goes back in a history", event.kind)
            self._time_us = event.time_us
        match event.kind:
            case "started":
                if self._revision != 1:
                    self._say("a process starts once", "started")
                self._phase, self._deadline_us = "RUNNING", body["deadline_us"]
            case "attempt_began":
                self._began(body["action"], body["attempt"], event.time_us)
            case "attempt_ended":
                self._ended(body)
            case "cancel_requested":
                self._wish = self._wish or self._phase == "RUNNING"
                if self._phase == "COMPLETED":
                    self._phase = "COMPENSATING"
            case "compensation_began":
                self._cut_short()
                self._phase = "COMPENSATING"
            case "parked":
                self._parked(body)
            case "retry_requested":
                self._phase = "COMPENSATING"
                for undo in self._shape.undos:
                    if undo not in self._done:
                        self._attempts[undo] = 0
                        self._not_before_us[undo] = 0
            case "resolved_by_hand":
                self._phase = "COMPENSATING"
                self._done.append(body["action"])
            case "completed":
                self._completed()
            case "cancelled":
                self._cancelled()
            case kind:
                self._say("only known events are stored", kind)

    def _began(  # noqa: C901 - one question after the other
        self, action: str, attempt: int, time_us: int
    ) -> None:
        self._cut_short()
        if attempt != self._attempts.get(action, 0) + 1:
            self._say("attempts are counted", f"attempt {attempt} of {action}")
        if time_us < self._not_before_us.get(action, 0):
            self._say("a pause is kept", f"attempt {attempt} of {action} comes too soon")
        if action in self._done:
            self._say("what is done is not done again", action)
        self._attempts[action] = attempt
        self._under_way = (action, attempt)
        if action not in self._begun:
            self._begun.append(action)
        if action in self._shape.undos:
            if self._phase != "COMPENSATING":
                self._say("undos begin when a process turns back", action)
            for later in self._shape.undos[: self._shape.undos.index(action)]:
                if later in self._needed() and later not in self._done:
                    self._say("undos run newest first", f"{action} before {later}")
            return
        if self._phase != "RUNNING" or self._wish:
            self._say("nothing goes forward once it is to be undone", action)
        before = self._shape.steps[: self._shape.steps.index(action)]
        if not all(step in self._done for step in before):
            self._say("steps are done in order", action)
        if time_us >= self._deadline_us:
            self._say("no step is tried after the deadline", action)

    def _ended(self, body: dict[str, Any]) -> None:
        action, code = body["action"], body["code"]
        if self._under_way != (action, body["attempt"]):
            self._say("an attempt ends once, while under way", f"{action} #{body['attempt']}")
        self._under_way = None
        self._last_code[action] = code
        self._not_before_us[action] = body.get("not_before_us", 0)
        if code == "OK":
            self._done.append(action)
        if action in self._shape.steps and code not in _NOT_DONE | _NOT_NOW:
            self._maybe.add(action)

    def _cut_short(self) -> None:
        """An attempt without an end may have been applied."""
        if self._under_way is not None and self._under_way[0] in self._shape.steps:
            self._maybe.add(self._under_way[0])
        self._under_way = None

    def _needed(self) -> set[str]:
        """The undos of what was done, or may have been."""
        return {self._shape.undo_of[step] for step in self._maybe if step in self._shape.undo_of}

    def _parked(self, body: dict[str, Any]) -> None:
        self._phase = "PARKED"
        action = body.get("action", "")
        if action and self._last_code.get(action) == "OK":
            self._say("only what failed parks", action)

    def _completed(self) -> None:
        if self._phase != "RUNNING" or not all(it in self._done for it in self._shape.steps):
            self._say("COMPLETED means that every step was done", f"after {self._done}")
        self._phase = "COMPLETED"

    def _cancelled(self) -> None:
        undone = {undo for undo in self._shape.undos if undo in self._done}
        missing = self._needed() - undone
        if missing:
            self._say("CANCELLED means that everything was undone", f"not {sorted(missing)}")
        begun = {self._shape.undo_of.get(step) for step in self._begun}
        if undone - begun:
            self._say("only what was begun is undone", f"{sorted(undone - begun)}")
        if self._phase != "COMPENSATING":
            self._say("CANCELLED comes after turning back", self._phase)
        self._phase = "CANCELLED"

    def _say(self, rule: str, said: str) -> None:
        self.found.append(Violation(rule, f"{self._process_id} at {self._revision}: {said}"))


def _intents(evidence: Evidence) -> Iterator[Violation]:
    """No call leaves before its attempt is in the log."""
    for call in evidence.calls:
        if not call.in_log:
            said = f"{call.process_id}: {call.action} #{call.attempt} left before it was in the log"
            yield Violation("intent before effect", said)


def _fences(evidence: Evidence) -> Iterator[Violation]:
    """Whoever was succeeded writes no more."""
    owners: dict[str, str] = {}
    for write in evidence.writes:
        if write.takes_over:
            owners[write.process_id] = write.owner
        elif write.owner and owners.get(write.process_id) != write.owner:
            said = f"{write.owner} writes to {write.process_id} of {owners.get(write.process_id)}"
            yield Violation("whoever was succeeded writes no more", said)


def _told(  # noqa: C901, PLR0912 - flat: one case for each thing that is told
    evidence: Evidence,
) -> Iterator[Violation]:
    """What somebody was told stays true, a later Cancel aside."""
    rule = "what was told stays true"
    for process_id, what, revision in evidence.told:
        history = evidence.histories.get(process_id)
        if history is None or revision > len(history):
            yield Violation(rule, f"{process_id} was told to be {what}, and is not there")
            continue
        final = evidence.rows[process_id].phase
        match what:
            case "accepted":
                pass
            case "cancel":
                if final == "COMPLETED":
                    yield Violation(rule, f"{process_id} is COMPLETED after its confirmed Cancel")
            case "retry" | "resolve":
                kind = "retry_requested" if what == "retry" else "resolved_by_hand"
                if not any(event.kind in {kind, "retry_requested"} for event in history):
                    yield Violation(rule, f"{process_id}: a confirmed {what} is not there")
            case _:
                if what != _phase(history, revision):
                    yield Violation(rule, f"{process_id} was told to be {what} at {revision}")
                cancelled_later = any(
                    event.kind == "cancel_requested" for event in history[revision:]
                )
                if what == "COMPLETED" and final != what and not cancelled_later:
                    yield Violation(rule, f"{process_id} was told to be COMPLETED, is {final}")
                if what == "CANCELLED" and final != what:
                    yield Violation(rule, f"{process_id} was told to be CANCELLED, is {final}")
    for request, process_id in evidence.requests.items():
        if process_id not in evidence.rows:
            yield Violation(rule, f"{request} was accepted as {process_id}, which is not there")
