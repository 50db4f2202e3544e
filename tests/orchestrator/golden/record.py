"""Records the golden histories of the version that is in pyproject.toml.

    python -m tests.orchestrator.golden.record

Everything in them is of virtual time and without chance: the same code records the same bytes.
Invariant: a folder that is there is never written into.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.order_process import ORDER_PROCESSES, start_order_process
from orchestrator.placed_order import Address, Item, Money, PlacedOrder
from orchestrator.saga_log.protocol import ProcessRow
from tests.orchestrator.golden.golden import FOLDER, Golden, current_release, plain, released
from tests.orchestrator.golden.lives import LIVES, Life
from tests.orchestrator.harness.lines import captured_lines
from tests.orchestrator.harness.stage import KEY, Hook, Node, Stage
from tests.orchestrator.harness.virtual_time import play

# What a log keeps of a row, but for who runs it and when it is due: both pass.
KEPT = (
    "process_id",
    "business_key",
    "fingerprint",
    "subject",
    "phase",
    "revision",
    "create_time_us",
    "update_time_us",
    "end_time_us",
)


class GoldenStage(Stage):
    """Order processes are placed on it, as the servicer does."""

    def __init__(self, name: str, life: Life) -> None:
        super().__init__(
            ORDER_PROCESSES.current,
            script=life.script(),
            hooks=life.hooks,
            deadline_seconds=life.deadline_seconds,
            fraction=lambda: 0.75,
        )
        self.define(
            replace(
                self.definition.policy,
                compensation_horizon_seconds=life.compensation_horizon_seconds,
            )
        )
        self._process_id = f"prc_{name}"
        self._order = order(life.price)
        self._at_rest = list(life.at_rest)

    async def accept(self, node: Node, *, key: str = KEY) -> tuple[ProcessRow, bool]:
        return await start_order_process(
            node.runner,
            self._order,
            definition=self.definition,
            process_id=self._process_id,
            request_id=key,
            deadline_us=self.clock.now_us() + round(self._deadline_seconds * 1_000_000),
        )

    async def _lives_through(self, operator: Hook | None) -> bool:
        del operator
        self.crashed.clear()
        node = self.start_node()
        node.starts.append(self._begin(node))
        while await self._rests_before_it_crashes():
            if not self._at_rest:
                return True
            await self._at_rest.pop(0)(self)
        return False


def order(price: int) -> PlacedOrder:
    return PlacedOrder(
        customer_id="Ada Lovelace, Łódź",
        items=(
            Item(sku="TEA", quantity=2, unit_price=Money(currency_code="EUR", minor_units=price)),
        ),
        payment_method="pm_card_visa",
        delivery_address=Address(
            recipient="Ada",
            lines=("Main Street 1", "2nd floor"),
            locality="Town",
            region="",
            postal_code="1234",
            country_code="NL",
        ),
    )


def record_one(release: str, name: str, life: Life) -> Golden:
    """Has one life lived."""
    stage = GoldenStage(name, life)
    with captured_lines():
        state = play(stage.play())
    row = stage.row()
    return Golden(
        release=release,
        life=name,
        sentence=life.sentence,
        definition=state.definition_key,
        compensation_horizon_seconds=life.compensation_horizon_seconds,
        row={it: plain(getattr(row, it)) for it in KEPT},
        state=plain(state),
        texts=tuple(stage.log._records[row.process_id].texts),
    )


def record(
    release: str, folder: Path = FOLDER, lives: Mapping[str, Life] = LIVES
) -> Sequence[Golden]:
    """Writes the folder of a version.

    Raises:
        FileExistsError: It is there.
    """
    there = folder / release
    recorded = [record_one(release, name, life) for name, life in lives.items()]
    there.mkdir()
    for golden in recorded:
        golden.write(there)
    return recorded


def main() -> int:
    release = current_release()
    if release in released():
        print(  # noqa: T201 - a command's answer
            f"there are golden histories of {release}, and what was released never changes: "
            "raise the version in pyproject.toml and record again",
            file=sys.stderr,
        )
        return 1
    print(f"{len(record(release))} golden histories of {release} recorded")  # noqa: T201 - same
    return 0


if __name__ == "__main__":
    sys.exit(main())
