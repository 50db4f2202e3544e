"""An orchestrator to talk to."""

from collections.abc import Iterator

import pytest

from tests.console.harness.fake_orchestrator import FakeOrchestrator


@pytest.fixture
def orchestrator(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOrchestrator]:
    """A fake one, which every `oms` command of the test talks to."""
    fake = FakeOrchestrator()
    monkeypatch.setenv("OMS_TARGET", fake.target)
    yield fake
    fake.stop()
