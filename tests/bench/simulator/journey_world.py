"""The saga of three steps as a world of its own: what docs/simulation.md shows.

python -m bench.simulator explore --world tests.bench.simulator.journey_world:journey
"""

from bench.simulator.effects import effects_world
from bench.simulator.world import World
from tests.orchestrator.sagas.journey import JOURNEY


def journey() -> World:
    return effects_world(JOURNEY)
