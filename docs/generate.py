"""Draws the code's own tables: state machines, outcomes, settings.

`python -m docs.generate` writes docs/state_machines.md and the tables of README.md;
`python -m docs.generate --check` changes nothing and fails where they are not what the code gives.

Invariant: the same code gives the same bytes. This module must never hold a rule of its own: what
it says is read off the tables that decide.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

import delivery_svc.domain
import order_svc.domain
import payment_svc.domain
from chassis.settings import Settings, describe
from delivery_svc.settings import DeliverySettings
from orchestrator import breaker
from orchestrator.order_process import ORDER_PROCESS
from orchestrator.saga.evolve import MOVES
from orchestrator.saga.outcome import OUTCOMES, STEP_SEQUELS, UNDO_SEQUELS, Outcome, Sequel
from orchestrator.settings import OrchestratorSettings
from order_svc.settings import OrderSettings
from payment_svc.settings import PaymentSettings

ROOT: Final = Path(__file__).parents[1]

WHAT_AN_OUTCOME_MEANS: Final[Mapping[Outcome, str]] = {
    Outcome.SUCCEEDED: "applied",
    Outcome.REJECTED: "not applied: the participant said so",
    Outcome.BARRED: "not applied: turned away at the door",
    Outcome.REFUSED: "not applied now, maybe later",
    Outcome.UNKNOWN: "may have been applied",
}
WHAT_FOLLOWS_A_STEP: Final[Mapping[Outcome, str]] = {
    Outcome.REFUSED: "try again; out of time: undo this step too",
    Outcome.UNKNOWN: "try again; out of time: undo this step too",
}
FOR_A_STEP: Final[Mapping[Sequel, str]] = {
    Sequel.GO_ON: "the next step",
    Sequel.TURN_BACK: "undo the steps before it",
}
FOR_AN_UNDO: Final[Mapping[Sequel, str]] = {
    Sequel.GO_ON: "the next undo",
    Sequel.TRY_AGAIN: "try again, until the horizon",
    Sequel.PARK: "PARKED: a person must look",
}


def outcome_table() -> Iterator[str]:
    """What each status code leads to."""
    yield "| status code | outcome | a step | an undo |"
    yield "|---|---|---|---|"
    for outcome in Outcome:
        codes = ", ".join(code.name for code, its in OUTCOMES.items() if its is outcome)
        assert codes, f"no code is {outcome}"
        step = WHAT_FOLLOWS_A_STEP.get(outcome) or FOR_A_STEP[STEP_SEQUELS[outcome]]
        undo = FOR_AN_UNDO[UNDO_SEQUELS[outcome]]
        if outcome is Outcome.BARRED:
            undo += ", loudly"
        meaning = f"**{outcome}**: {WHAT_AN_OUTCOME_MEANS[outcome]}"
        yield f"| {codes} | {meaning} | {step} | {undo} |"


def settings_table() -> Iterator[str]:
    """Every setting of every service."""
    yield "| environment, flag | default | what it says |"
    yield "|---|---|---|"
    shared = {doc.env for doc in describe(Settings)}
    for cls in (OrchestratorSettings, OrderSettings, PaymentSettings, DeliverySettings):
        for doc in describe(cls):
            if doc.env not in shared:
                yield f"| `{doc.env}`<br>`{doc.flag}` | `{doc.default}` | {doc.description} |"
    for doc in describe(Settings):
        told = f"{doc.description} All services."
        yield f"| `{doc.env}`<br>`{doc.flag}` | `{doc.default}` | {told} |"


def process_diagram() -> Iterator[str]:
    """The phases of a process, and the events that move it from one to another."""
    yield from _diagram(
        (
            "[*]" if before is None else before.value,
            after.value,
            _spaced(event.__name__),
        )
        for (before, event), targets in MOVES.items()
        for after in targets
        if after is not before
    )


def breaker_diagram() -> Iterator[str]:
    """The states of a circuit breaker, and what moves it from one to another."""
    named = {state: state.value.replace(" ", "_") for state in breaker.State}
    yield from _diagram(
        (
            ("[*]", named[breaker.State.CLOSED], "at the start"),
            *(
                (named[before], named[after], sign.value)
                for (before, sign), after in breaker.MOVES.items()
            ),
        )
    )


def steps_table() -> Iterator[str]:
    """The steps of the order process and what undoes each."""
    yield "| step | undone by |"
    yield "|---|---|"
    for step in ORDER_PROCESS.steps:
        undo = f"`{step.undo}`" if step.undo else f"covered by `{step.covered_by}`"
        yield f"| `{step.name}` | {undo} |"


def entity_diagram(
    moves: Mapping[tuple[StrEnum | None, StrEnum], StrEnum], refusal: type[StrEnum]
) -> Iterator[str]:
    """The states of an entity, and what moves it from one to another."""
    yield from _diagram(
        ("[*]" if before is None else before.value, after.value, event.value)
        for (before, event), after in moves.items()
        if not isinstance(after, refusal) and after is not before
    )


def refusals_table(
    moves: Mapping[tuple[StrEnum | None, StrEnum], StrEnum], refusal: type[StrEnum]
) -> Iterator[str]:
    """What is turned away, and where."""
    yield "| state | what is asked | refused |"
    yield "|---|---|---|"
    for (before, event), after in moves.items():
        if isinstance(after, refusal):
            state = "an id never seen" if before is None else before.value
            yield f"| {state} | {event.value} | {after.value} |"


def _diagram(moves: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    edges: dict[tuple[str, str], list[str]] = {}
    for before, after, label in moves:
        edges.setdefault((before, after), []).append(label)
    for (before, after), labels in edges.items():
        yield f"    {before} --> {after}: {', '.join(labels)}"
    yield "```"


def _spaced(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def state_machines() -> str:
    """The text of docs/state_machines.md."""
    lines = [
        "# State machines",
        "",
        "Drawn by `make docs` from the tables in the code; `make verify` fails where they differ.",
        "",
        "## A process",
        "",
        "The events of its history move it (`orchestrator/saga/evolve.py`). An event that is not",
        "shown leaves it where it is, or cannot happen there: then folding the history raises.",
        "",
        *process_diagram(),
        "",
        f"The steps of `{ORDER_PROCESS.name}`, version {ORDER_PROCESS.version}:",
        "",
        *steps_table(),
        "",
        "What each status code leads to (`orchestrator/saga/outcome.py`):",
        "",
        *outcome_table(),
    ]
    lines += [
        "",
        "## The circuit breaker of a participant",
        "",
        "From `orchestrator/breaker.py`. Open, one attempt at a time is let through; half open,",
        "what the ramp lets through.",
        "",
        *breaker_diagram(),
    ]
    for title, module in (
        ("An order", order_svc.domain),
        ("A payment", payment_svc.domain),
        ("A delivery", delivery_svc.domain),
    ):
        where = module.__name__.replace(".", "/") + ".py"
        lines += [
            "",
            f"## {title}",
            "",
            f"From `{where}`. What is neither drawn nor refused answers with it as it is.",
            "",
            *entity_diagram(module.MOVES, module.Refusal),
            "",
            *refusals_table(module.MOVES, module.Refusal),
        ]
    return "\n".join(lines) + "\n"


def between(text: str, name: str, table: Iterator[str]) -> str:
    """`text` with what stands between the marks of `name` replaced by a table."""
    begin = f"<!-- {name}: written by make docs -->\n"
    end = f"<!-- end of {name} -->\n"
    assert text.count(begin) == 1, f"README.md has lost a mark of {name}"
    assert text.count(end) == 1, f"README.md has lost a mark of {name}"
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    return head + begin + "\n".join(table) + "\n" + end + tail


def readme() -> str:
    """The text of README.md with its tables made anew."""
    text = (ROOT / "README.md").read_text()
    text = between(text, "outcomes", outcome_table())
    return between(text, "settings", settings_table())


def main() -> None:
    """Writes, or checks."""
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail where stale")
    check = parser.parse_args().check
    stale = []
    for path, text in (
        (ROOT / "docs" / "state_machines.md", state_machines()),
        (ROOT / "README.md", readme()),
    ):
        if not path.exists() or path.read_text() != text:
            stale.append(path.name)
            if not check:
                path.write_text(text)
    if check and stale:
        sys.exit(f"not what the code gives: {', '.join(stale)}; run 'make docs' and commit it")


if __name__ == "__main__":
    main()
