"""What scripted participants answer, and what they do besides."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat

from orchestrator.saga.code import Code
from orchestrator.saga.events import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a participant takes one attempt. By default it does what it was asked, and says so."""

    code: Code = Code.OK
    applies: bool = False
    """With a code that is not OK: it does it all the same."""
    applies_after_seconds: float | None = None
    """With a code that is not OK: it does it that much later, the call being under way still."""
    takes_seconds: float = 0.0
    reason: str = ""
    message: str = ""
    retry_after_seconds: float | None = None
    result: JSON = None


Script = Mapping[str, Iterator[Answer]]
"""By the name of the action. When a script is at its end, all goes well."""

FINE = Answer()


def once(code: Code, reason: str = "") -> Iterator[Answer]:
    return iter((Answer(code=code, reason=reason),))


def always(code: Code, reason: str = "") -> Iterator[Answer]:
    return repeat(Answer(code=code, reason=reason))


def answers(*given: Answer) -> Iterator[Answer]:
    return iter(given)
