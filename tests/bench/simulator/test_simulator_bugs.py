"""Every planted bug is found, and docs/planted_bugs.md says how."""

import re
from pathlib import Path

import pytest

from bench.simulator.bugs import BUGS, planted
from bench.simulator.orders.world import order_world
from bench.simulator.plan import Plan
from bench.simulator.run import Player

DOCUMENT = Path(__file__).parents[3] / "docs" / "planted_bugs.md"
ROW = re.compile(r"^\| `(?P<bug>[a-z-]+)` \| (?P<what>.+) \| [0-9,]+ \| `(?P<plan>.+)` \| .+ \|$")
FOUND = {row["bug"]: row for line in DOCUMENT.read_text().splitlines() if (row := ROW.match(line))}


def test_every_bug_is_in_the_document_with_its_plan() -> None:
    assert len(BUGS) >= 10
    assert dict(BUGS) == {bug: row["what"] for bug, row in FOUND.items()}


@pytest.mark.parametrize("bug", sorted(FOUND))
def test_the_plan_of_a_bug_fails_with_it_and_only_with_it(bug: str) -> None:
    plan = Plan.parse(FOUND[bug]["plan"])
    with planted(bug):
        assert Player(order_world()).play(plan).violations
    assert [] == Player(order_world()).play(plan).violations
