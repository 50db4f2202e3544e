"""What may happen at a point: hang one of these on it (see `stage.py`)."""

import asyncio

from chassis.faults import Unavailable
from tests.orchestrator.harness.stage import Hook, Stage


async def crash(stage: Stage) -> None:
    """The orchestrator is gone, here and now."""
    stage.only_seems_dead = False
    stage.crashed.set()
    await asyncio.Event().wait()


def freeze(seconds: float) -> Hook:
    """The orchestrator stands still for so long that it is taken for dead, and then goes on."""

    async def frozen(stage: Stage) -> None:
        stage.only_seems_dead = True
        stage.crashed.set()
        await stage.clock.sleep(seconds)

    return frozen


def dawdle(seconds: float) -> Hook:
    """Whatever is done here takes so long."""

    async def dawdling(stage: Stage) -> None:
        await stage.clock.sleep(seconds)

    return dawdling


async def lose(stage: Stage) -> None:
    """The log does not answer, once. At other points nothing happens."""
    if "commit" in stage.points[-1]:
        raise Unavailable("LOG_UNAVAILABLE", "the log is away")


async def cancel(stage: Stage) -> None:
    """Somebody cancels the process."""
    await stage.cancel()
