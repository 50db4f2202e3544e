import os
import subprocess
import sys

import pytest

from bench.simulator.named import ORDERS
from bench.simulator.simulate import SimulationSettings, simulate, simulate_one

SETTINGS = SimulationSettings(world=ORDERS)


@pytest.mark.timeout(300)
def test_a_few_seeds_of_twenty_processes_hold() -> None:
    result = simulate(SETTINGS, range(1, 9), workers=1)
    assert [] == result.violations
    assert 160 == result.processes
    assert 160 == sum(count for phase, count in result.counts.items() if phase != "faults")
    assert result.counts["faults"] > 100


def test_another_seed_is_another_run() -> None:
    assert simulate_one(SETTINGS, 1).digest != simulate_one(SETTINGS, 2).digest


@pytest.mark.timeout(300)
def test_the_same_seed_gives_the_same_trace_in_every_program() -> None:
    def told(hash_seed: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "bench.simulator", "replay", "seed:3"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    first = told("1")
    assert "all is well again" in first
    assert first == told("2")
