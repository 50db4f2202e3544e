"""Our three participants, as processes, keep every promise; and the sandbox needs no option."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from console.conformance.promises.catalogue import PROMISES
from tests.console.conformance.harness.kit import Run, examine
from tests.system.harness.service import Service

KINDS = ("order", "payment", "delivery")
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
async def run(
    tmp_path_factory: pytest.TempPathFactory, new_database_url: Callable[[], str]
) -> AsyncIterator[Run]:
    """One of each on SQLite; on PostgreSQL two, behind one target."""
    folder = tmp_path_factory.mktemp("ours")
    # The sandbox is as slow as it always is, but nobody waits for it when the service stops.
    shared = {
        "OMS_PAYMENT_GATEWAY_DATABASE_URL": new_database_url(),
        "OMS_DRAIN_GRACE_SECONDS": "0.1",
    }
    participants = []
    async with AsyncExitStack() as stack:
        for kind in KINDS:
            url = new_database_url()
            settings = shared | {f"OMS_{kind.upper()}_DATABASE_URL": url}
            addresses = []
            for place in range(1 if url.startswith("sqlite") else 2):
                home = folder / f"{kind}_{place}"
                home.mkdir()
                service = Service(kind, folder=home, settings=settings)
                stack.push_async_callback(service.close)
                await service.start()
                addresses.append(service.address)
            several = "ipv4:" if len(addresses) > 1 else ""
            participants.append(f"{kind}={several}{','.join(addresses)}")
        yield await examine(participants, folder=folder)


@pytest.mark.parametrize("kind", KINDS)
def test_it_keeps_every_promise_of_its_kind(run: Run, kind: str) -> None:
    lines = next(said for participant, said in run.lines.items() if participant.startswith(kind))
    made = {promise.name: "kept" for promise in PROMISES if kind in promise.kinds}
    assert made == lines, run.out


def test_the_run_passes(run: Run) -> None:
    assert pytest.ExitCode.OK == run.finished.exit_code, run.out
