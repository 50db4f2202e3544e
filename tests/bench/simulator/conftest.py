from collections.abc import Iterator

import pytest
import structlog

from bench.simulator.quiet import hush


@pytest.fixture(autouse=True)
def as_the_command_runs() -> Iterator[None]:
    before = structlog.get_config()
    hush(for_good=False)
    yield
    structlog.configure(**before)
