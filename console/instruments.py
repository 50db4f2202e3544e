"""`oms explore` and `oms simulate`: what shows that a saga holds.

Invariant: this process becomes the instrument, so that its output and exit code are its own. This
module must never read an option: whatever follows is the instrument's to read.
"""

from collections.abc import Callable
from typing import Final

import typer

from console.serve import become

MODULE: Final = "bench.simulator"

EXPLORE_HELP: Final = """
Tries every fault at every point of an order process, and every pair of faults.

The real runner, saga core, recovery and participants run in virtual time: crashes between a commit
and a call, lost replies, late and repeated requests, every status code, cancels from outside. It
prints how many schedules ran, how many distinct end states they had, and for a violation the
shortest schedule that fails and the command that replays it.

For example:

  oms explore --singles
  oms explore --world my_sagas:world
  oms explore --help

Exit codes: 0 everything held, 1 something did not, 2 bad input.
"""

SIMULATE_HELP: Final = """
Runs many processes on several orchestrators at once, under faults drawn from seeds.

Crashes, restarts, pauses longer than the lease, partitions, slow disks and jumping clocks. The same
seed is the same run, to the last event; a violation prints its seed and the command that replays
it.

For example:

  oms simulate --seeds 1000
  oms simulate --seeds 200 --world my_sagas:world
  oms simulate --help

Exit codes: 0 everything held, 1 something did not, 2 bad input.
"""


def instrument(name: str) -> Callable[[typer.Context], None]:
    """The command that becomes an instrument."""

    def run(ctx: typer.Context) -> None:
        become(MODULE, [name, *(it for it in ctx.args if it != "--json")])

    return run
