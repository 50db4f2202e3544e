from collections.abc import Iterator

import pytest
import structlog

from bench.simulator.quiet import hush
from bench.simulator.swift import swiftly


@pytest.fixture(autouse=True)
def as_the_command_runs() -> Iterator[None]:
    before = structlog.get_config()
    hush(for_good=False)
    with swiftly():
        yield
    structlog.configure(**before)
