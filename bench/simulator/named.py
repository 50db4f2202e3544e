"""A world by its name: the one that comes with the simulator, or `module:factory`.

Invariant: a name means the same in every worker program. Must never: import anything but what it is
told to.
"""

import importlib
from collections.abc import Callable
from typing import Final, cast

from bench.simulator.world import World

ORDERS: Final = "bench.simulator.orders.world:order_world"


class NoSuchWorld(Exception):  # noqa: N818 - it is what it says
    """There is nothing of that name."""


def load_world(name: str) -> World:
    """Makes the world that a factory of that name gives.

    Raises:
        NoSuchWorld: There is none.
    """
    module, _, factory = name.partition(":")
    try:
        make = cast("Callable[[], World]", getattr(importlib.import_module(module), factory))
    except (ImportError, AttributeError, ValueError) as error:
        raise NoSuchWorld(f"{name!r} is not module:factory of a World ({error})") from error
    world = make()
    if not isinstance(world, World):
        raise NoSuchWorld(f"{name!r} gives {type(world).__name__}, not a World")
    return world
