"""docs/conformance.md lists every promise and every option, as they are."""

from dataclasses import fields
from pathlib import Path

from console.conformance.knobs import Knobs, flag
from console.conformance.promise import ALL
from console.conformance.promises.catalogue import PROMISES

PAGE = Path(__file__).parents[3] / "docs" / "conformance.md"


def rows() -> list[str]:
    """The rows of the two tables."""
    options = [
        f"| `{flag(knob.name)}` | `{knob.default}` | {knob.metadata['says']} |"
        for knob in fields(Knobs)
    ]
    promises = [
        f"| `{it.name}` | {'all' if it.kinds == ALL else ', '.join(sorted(it.kinds))} | {it.says} |"
        for it in PROMISES
    ]
    return [*options, *promises]


def test_the_page_lists_every_promise_and_every_option_as_they_are() -> None:
    listed = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert rows() == listed


def test_no_two_promises_have_one_name() -> None:
    names = [it.name for it in PROMISES]
    assert len(names) == len(set(names))
