"""The lives that are recorded: every kind of end, and every kind of way there.

A life says what the participants answer, what befalls the orchestrator at which point (see
`harness/stage.py`), and what people do each time the process is at rest. All goes well, where
nothing is said.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from typing import Final

from orchestrator.order_process import ORDER_PROCESSES
from orchestrator.saga.code import Code
from orchestrator.saga.events import JSON
from tests.orchestrator.harness.answers import Answer
from tests.orchestrator.harness.incidents import cancel, crash, lose
from tests.orchestrator.harness.stage import Hook, Stage

CALLS: Final = tuple(step.name for step in ORDER_PROCESSES.current.steps)
UNKNOWN: Final = Answer(code=Code.UNAVAILABLE, message="nobody listens")
LATE: Final = Answer(code=Code.UNAVAILABLE, applies=True, message="the connection broke")
SLOW: Final = Answer(takes_seconds=10.0)
DECLINED: Final = Answer(
    code=Code.FAILED_PRECONDITION, reason="PAYMENT_DECLINED", message="The card was declined."
)
NO_COURIER: Final = Answer(
    code=Code.FAILED_PRECONDITION, reason="NO_COURIER_AVAILABLE", message="Nobody goes there."
)
BUSY: Final = Answer(code=Code.ABORTED, reason="IN_PROGRESS", message="The gateway was not done.")
LATER: Final = Answer(
    code=Code.RESOURCE_EXHAUSTED, reason="OVERLOADED", message="too much", retry_after_seconds=7.25
)
REFUSED: Final = Answer(code=Code.NOT_FOUND, reason="PAYMENT_NOT_FOUND", message="It is not there.")
BARRED: Final = Answer(
    code=Code.PERMISSION_DENIED, reason="NOT_ALLOWED", message="This certificate is not known."
)


def with_code(code: Code) -> Answer:
    return Answer(code=code, reason=f"SAID_{code.name}", message=f"It says {code.name}.")


def before_call(number: int, of: str = "before call") -> int:
    """The point just before the n-th call, counted from 0: each call has four."""
    return 2 + 4 * number + ["before call", "after call", "before commit", "after commit"].index(of)


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    sentence: str
    answers: Mapping[str, Sequence[Answer]] = field(default_factory=dict)
    always: Mapping[str, Answer] = field(default_factory=dict)
    """What is answered once those are at their end."""
    hooks: Mapping[int, Hook] = field(default_factory=dict)
    at_rest: Sequence[Hook] = ()
    price: int = 1_250
    deadline_seconds: float = 60.0
    compensation_horizon_seconds: float = 86_400.0

    def script(self) -> Mapping[str, Iterator[Answer]]:
        """Whoever does what it was asked gives back what the real participants give back."""
        results: Mapping[str, JSON] = {
            "create_order": {"total": {"currency_code": "EUR", "minor_units": 2 * self.price}},
            "process_delivery": {"courier_id": "courier-NL"},
        }

        def with_result(action: str, answer: Answer) -> Answer:
            gives = answer.code is Code.OK and action in results
            return replace(answer, result=results[action]) if gives else answer

        return {
            action: chain(
                [with_result(action, it) for it in self.answers.get(action, ())],
                repeat(with_result(action, self.always.get(action, Answer(takes_seconds=0.011)))),
            )
            for action in ORDER_PROCESSES.current.actions()
        }


async def retry(stage: Stage) -> None:
    await stage.retry()


async def resolve_payment(stage: Stage) -> None:
    await stage.resolve("cancel_payment")


async def downgraded(stage: Stage) -> None:
    """The release that comes next does not know the definition."""
    other = replace(stage.definition, version=stage.definition.version + 1)
    stage.definitions = {other.key: other}
    await crash(stage)


async def upgraded_again(stage: Stage) -> None:
    await stage.nodes[-1].die()
    stage.definitions = {stage.definition.key: stage.definition}
    stage.start_node()
    await stage.retry()


REJECTING: Final = (
    Code.INVALID_ARGUMENT,
    Code.NOT_FOUND,
    Code.ALREADY_EXISTS,
    Code.FAILED_PRECONDITION,
    Code.OUT_OF_RANGE,
)
BARRING: Final = (Code.PERMISSION_DENIED, Code.UNAUTHENTICATED, Code.UNIMPLEMENTED)
PASSING: Final = tuple(code for code in Code if code not in {Code.OK, *REJECTING, *BARRING})

UNDELIVERABLE: Final[Mapping[str, Sequence[Answer]]] = {"process_delivery": [NO_COURIER]}

LIVES: Final[Mapping[str, Life]] = {
    "delivered": Life(sentence="all goes well"),
    "free": Life(sentence="the order costs nothing", price=0),
    "declined-at-hold": Life(
        sentence="the payment is declined when it is made", answers={"process_payment": [DECLINED]}
    ),
    "declined-at-capture": Life(
        sentence="the payment is declined when it is confirmed",
        answers={"confirm_payment": [DECLINED]},
    ),
    "undeliverable": Life(sentence="nobody delivers there", answers=UNDELIVERABLE),
    "returned": Life(sentence="it is sent back after COMPLETED", at_rest=(cancel,)),
    **{
        f"cancelled-at-{name.replace('_', '-')}": Life(
            sentence=f"it is cancelled while {name} is under way",
            hooks={before_call(number): cancel},
        )
        for number, name in enumerate(CALLS)
    },
    "cancelled-while-retrying": Life(
        sentence="it is cancelled while a step waits to be tried again",
        answers={"process_payment": [LATE]},
        hooks={before_call(1, "after commit"): cancel},
    ),
    "cancelled-while-undoing": Life(
        sentence="it is cancelled when it is being undone anyway",
        answers={"confirm_payment": [DECLINED]},
        hooks={before_call(3): cancel},
    ),
    "cancelled-while-parked": Life(
        sentence="it is cancelled while it is parked, and then tried afresh",
        answers={**UNDELIVERABLE, "cancel_payment": [REFUSED]},
        at_rest=(cancel, retry),
    ),
    "cancelled-once-more": Life(
        sentence="it is cancelled after everything was undone",
        answers={"process_payment": [DECLINED]},
        at_rest=(cancel,),
    ),
    "out-of-time": Life(
        sentence="the payment service is away until the deadline",
        always={"process_payment": UNKNOWN},
        deadline_seconds=9.0,
    ),
    "out-of-time-between-steps": Life(
        sentence="a step was done in time, but the log was away until it was too late for the next",
        answers={"create_order": [Answer(takes_seconds=0.19)]},
        hooks={before_call(0, "before commit"): lose},
        deadline_seconds=0.2,
    ),
    "tried-again": Life(
        sentence="outcomes that nobody knows, an answer that is late, and one who asks for time",
        answers={
            "create_order": [UNKNOWN, SLOW],
            "process_payment": [LATE, LATER],
            "process_delivery": [BUSY, LATER, LATE],
        },
    ),
    "rejected-in-doubt": Life(
        sentence="a delivery is refused after nobody knew whether it had been made",
        answers={"process_delivery": [UNKNOWN, NO_COURIER]},
    ),
    "cut-short": Life(
        sentence="the orchestrator is killed after a payment was made, which is made again",
        hooks={before_call(1, "after call"): crash},
    ),
    "cut-short-undoing": Life(
        sentence="the orchestrator is killed while a payment is being cancelled",
        answers=UNDELIVERABLE,
        hooks={before_call(5, "after call"): crash},
    ),
    "parked-retried": Life(
        sentence="an undo is refused, and a person has it tried afresh, twice",
        answers={**UNDELIVERABLE, "cancel_payment": [REFUSED, REFUSED]},
        at_rest=(retry, retry),
    ),
    "parked-resolved": Life(
        sentence="an undo is refused, and a person does it by hand",
        answers={**UNDELIVERABLE, "cancel_payment": [REFUSED]},
        at_rest=(resolve_payment,),
    ),
    "parked": Life(
        sentence="an undo is refused, and nobody has looked yet",
        answers={**UNDELIVERABLE, "cancel_payment": [REFUSED]},
    ),
    "parked-at-horizon": Life(
        sentence="an undo was tried for long enough",
        answers=UNDELIVERABLE,
        always={"cancel_payment": BUSY},
        compensation_horizon_seconds=30.0,
    ),
    "parked-unknown-definition": Life(
        sentence="a release found it that did not know its definition",
        hooks={before_call(2, "after call"): downgraded},
    ),
    "parked-unknown-definition-retried": Life(
        sentence="a release found it that did not know its definition, and then one that did",
        hooks={before_call(2, "after call"): downgraded},
        at_rest=(upgraded_again,),
    ),
    "barred": Life(
        sentence="the door of the payment service is shut for this step",
        answers={"process_payment": [BARRED]},
    ),
    "barred-undo": Life(
        sentence="the door is shut for an undo, until somebody mends the certificate",
        answers={**UNDELIVERABLE, "cancel_order": [BARRED, BARRED]},
    ),
    "every-code": Life(
        sentence="each status code there is, once",
        answers={
            "create_order": [with_code(code) for code in PASSING],
            "process_payment": [DECLINED],
            "cancel_order": [with_code(code) for code in (*BARRING, *REJECTING)],
        },
        at_rest=(retry,) * len(REJECTING),
    ),
    "odd-texts": Life(
        sentence="what is said in words nobody reckoned with",
        answers={
            "process_payment": [
                Answer(
                    code=Code.FAILED_PRECONDITION,
                    reason="PAYMENT_DECLINED",
                    message='«Karte» "abgelehnt" \\ 拒否 \U0001f937\n\t' + "ß" * 2_000,
                )
            ]
        },
    ),
}
