"""Our three participants, as processes, keep every promise; and the sandbox needs no option."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from console.conformance.promises.catalogue import PROMISES
from tests.console.conformance.harness.kit import Run, examine
from tests.system.harness.service import Service

KINDS = ("order", "payment", "delivery")
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
async def run(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Run]:
    folder = tmp_path_factory.mktemp("ours")
    # The sandbox is as slow as it always is, but nobody waits for it when the service stops.
    settings = {
        "OMS_PAYMENT_GATEWAY_DATABASE_URL": f"sqlite:///{folder}/gateway.db",
        "OMS_DRAIN_GRACE_SECONDS": "0.1",
    }
    async with AsyncExitStack() as stack:
        services = {kind: Service(kind, folder=folder, settings=settings) for kind in KINDS}
        for service in services.values():
            stack.push_async_callback(service.close)
            await service.start()
        yield await examine(
            [f"{kind}={service.address}" for kind, service in services.items()], folder=folder
        )


@pytest.mark.parametrize("kind", KINDS)
def test_it_keeps_every_promise_of_its_kind(run: Run, kind: str) -> None:
    lines = next(said for participant, said in run.lines.items() if participant.startswith(kind))
    made = {promise.name: "kept" for promise in PROMISES if kind in promise.kinds}
    assert made == lines, run.out


def test_the_run_passes(run: Run) -> None:
    assert pytest.ExitCode.OK == run.finished.exit_code, run.out
