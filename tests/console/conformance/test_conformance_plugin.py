"""The plugin: asleep unless asked for, and clear about what it is told and what it tells."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import console.conformance
from chassis.faults import Refused, Unavailable
from chassis.validation import is_identifier
from tests.console.conformance.harness.kit import examine
from tests.console.conformance.harness.memory import DECLINED, Memory, MemoryDelivery
from tests.console.conformance.harness.served import Served
from tests.console.conformance.harness.wrong_lives import CannotCancelANewOne
from tests.system.harness.command import Finished
from tests.system.harness.command import run as run_command

# An address where nobody ever listens.
NOBODY = "payment=127.0.0.1:1"
SOURCES = sorted(Path(console.conformance.__path__[0]).rglob("*.py"))


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    it = Served(Memory())
    await it.server.start()
    yield it
    await it.close()


def in_python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_without_the_option_neither_grpc_nor_the_kit_is_imported() -> None:
    loaded = in_python(
        "import sys, pytest, console.conformance.plugin as plugin\n"
        "class Deaf:\n"
        "    def getoption(self, name): return None\n"
        "plugin.pytest_configure(Deaf())\n"
        "print(sorted(name for name in sys.modules"
        " if name.split('.')[0] in ('grpc', 'google', 'oms') or 'conformance' in name))"
    )
    assert [
        "console.conformance",
        "console.conformance.knobs",
        "console.conformance.plugin",
    ] == ast.literal_eval(loaded)


def test_the_installed_project_offers_the_plugin_to_pytest() -> None:
    names = in_python(
        "from importlib.metadata import entry_points\n"
        "print([it.value for it in entry_points(group='pytest11', name='oms-participant')])"
    )
    assert ["console.conformance.plugin"] == ast.literal_eval(names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda it: it.name)
def test_the_kit_knows_the_contract_grpc_and_pytest_alone(path: Path) -> None:
    tree = ast.parse(path.read_text())
    # What is only there for the type checker is no dependency.
    tree.body = [
        it
        for it in tree.body
        if not (isinstance(it, ast.If) and "TYPE_CHECKING" in ast.dump(it.test))
    ]
    roots = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    ours = {name for name in roots if name == "console"}
    assert all(
        str(node.module).startswith("console.conformance")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("console")
    )
    known = {"oms", "google", "grpc", "grpc_health", "grpc_reflection", "pytest"}
    assert set() == roots - ours - known - sys.stdlib_module_names


async def test_without_paths_nothing_else_is_collected(served: Served, tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text("def test_mine():\n    assert False\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = .\n")
    run = await examine([served.participant], "-k", "tombstone", folder=tmp_path)
    assert pytest.ExitCode.OK == run.finished.exit_code, run.out
    assert {"cancel-leaves-tombstone": "kept", "create-after-tombstone": "kept"} == run.lines[
        served.participant
    ]


async def test_with_paths_those_are_run_as_well(served: Served, tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text("def test_mine_of_tombstones():\n    assert False\n")
    run = await examine([served.participant], "-k", "tombstone", "test_mine.py", folder=tmp_path)
    assert pytest.ExitCode.TESTS_FAILED == run.finished.exit_code
    assert "1 failed, 2 passed" in run.out


async def test_the_settings_of_whoever_runs_it_do_not_disturb(
    served: Served, tmp_path: Path
) -> None:
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\n"
        "addopts = -q --strict-markers --strict-config --import-mode=importlib\n"
        "python_functions = check_*\n"
        "filterwarnings = error\n"
    )
    run = await examine([served.participant], folder=tmp_path)
    assert pytest.ExitCode.OK == run.finished.exit_code, run.out
    assert {"kept"} == set(run.lines[served.participant].values())


async def test_a_run_in_the_folder_of_the_project_collects_none_of_its_tests(
    served: Served,
) -> None:
    root = Path(__file__).parents[3]
    run = await examine([served.participant], "-k", "health or knows", folder=root, alone=False)
    assert pytest.ExitCode.OK == run.finished.exit_code, run.out
    assert {"health": "kept"} == run.lines[served.participant]
    assert "1 passed" in run.out


async def test_nobody_at_the_address_is_told_at_once_and_once(tmp_path: Path) -> None:
    run = await examine([NOBODY], "--oms-call-seconds=0.5", folder=tmp_path)
    assert pytest.ExitCode.INTERRUPTED == run.finished.exit_code
    assert 1 == run.out.count("nothing answers at 127.0.0.1:1: start the payment participant")
    assert {} == run.lines


async def test_another_service_at_the_address_is_told(served: Served, tmp_path: Path) -> None:
    participant = served.participant.replace("payment", "delivery")
    run = await examine([participant], folder=tmp_path)
    assert pytest.ExitCode.INTERRUPTED == run.finished.exit_code
    assert "does not serve oms.delivery.v1.DeliveryService" in run.out


async def test_the_promises_are_listed_without_anybody_at_the_address(tmp_path: Path) -> None:
    run = await examine([NOBODY], "--collect-only", "-q", folder=tmp_path)
    assert pytest.ExitCode.OK == run.finished.exit_code
    assert f"{NOBODY}::cancel-leaves-tombstone" in run.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--oms-participant=payment"], "write KIND=HOST:PORT"),
        (["--oms-participant=courier=127.0.0.1:1"], "one of order, payment, delivery"),
        ([f"--oms-participant={NOBODY}", "--oms-at-once=0"], "--oms-at-once must be more than 0"),
        ([f"--oms-participant={NOBODY}", "--oms-call-seconds=x"], "--oms-call-seconds"),
        ([f"--oms-participant={NOBODY}", "--oms-currency="], "--oms-currency must not be empty"),
    ],
)
async def test_an_option_that_cannot_be_is_told(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    finished: Finished = await run_command(
        [sys.executable, "-m", "pytest", *arguments], folder=tmp_path
    )
    assert pytest.ExitCode.USAGE_ERROR == finished.exit_code
    assert said in finished.err + finished.out


async def test_what_a_participant_does_not_have_is_skipped(served: Served, tmp_path: Path) -> None:
    run = await examine(
        [served.participant],
        "--oms-declined-method=",
        "--oms-confirm-declined-method=",
        "--oms-slow-method=",
        "-rs",
        folder=tmp_path,
    )
    assert pytest.ExitCode.OK == run.finished.exit_code, run.out
    assert {
        "refusal-is-stored",
        "refusal-is-repeated",
        "refused-id-is-taken",
        "refusal-reason-is-stored",
        "confirm-of-refused",
        "cancel-of-refused",
        "declined-confirm",
        "slow-calls-in-no-way",
    } == run.promises(served.participant, "skipped")
    assert set() == run.promises(served.participant, "BROKEN", "unchecked", "advice")
    assert "--oms-declined-method is empty" in run.out


class OfAnotherGateway(Memory):
    """It knows other payment methods than the sandbox."""

    def check_create(self, request: object) -> None:
        theirs = {"gold": "pm_card_visa", "lead": DECLINED}
        method = getattr(request, "payment_method", "")
        setattr(request, "payment_method", theirs.get(method, "" if method else method))  # noqa: B010 - the request is of any kind
        super().check_create(request)


async def test_a_participant_with_other_payment_methods_is_looked_at_by_their_names(
    tmp_path: Path,
) -> None:
    it = Served(OfAnotherGateway())
    await it.server.start()
    try:
        run = await examine(
            [it.participant],
            "--oms-good-method=gold",
            "--oms-declined-method=lead",
            "--oms-confirm-declined-method=",
            "--oms-slow-method=",
            "-k",
            "refus or confirms or tombstone",
            folder=tmp_path,
        )
    finally:
        await it.close()
    assert pytest.ExitCode.OK == run.finished.exit_code, run.out
    assert {"kept"} == set(run.lines[it.participant].values())


class BusyAtFirst(Memory):
    """It says "ask again" the first two times that a write names an id."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: Counter[tuple[str, str]] = Counter()

    async def answer(self, verb: str, request: Any) -> Any:
        if verb in {"create", "confirm", "cancel"} and is_identifier(id_ := self.id_of(request)):
            self._asked[verb, id_] += 1
            if self._asked[verb, id_] <= 2:
                raise Refused("IN_PROGRESS", "ask again")
        return await super().answer(verb, request)


async def test_a_participant_that_says_ask_again_is_asked_again(tmp_path: Path) -> None:
    it = Served(BusyAtFirst())
    await it.server.start()
    try:
        run = await examine([it.participant], "--oms-slow-method=", folder=tmp_path)
    finally:
        await it.close()
    assert pytest.ExitCode.OK == run.finished.exit_code, run.out
    assert {"slow-calls-in-no-way"} == run.promises(it.participant, "skipped")


class Leaves(Memory):
    """It is no more there when something is to be created."""

    def __init__(self) -> None:
        super().__init__()
        self.creates = 0

    async def answer(self, verb: str, request: Any) -> Any:
        self.creates += verb == "create"
        return await super().answer(verb, request)

    async def create(self, request: Any) -> Any:
        raise Unavailable("", f"no {type(request).__name__} gets through")


async def test_nobody_waits_for_a_participant_that_is_gone(tmp_path: Path) -> None:
    it = Served(Leaves())
    await it.server.start()
    try:
        run = await examine([it.participant], "-k", "creates", folder=tmp_path)
    finally:
        await it.close()
    assert {"creates": "BROKEN"} == run.lines[it.participant]
    assert isinstance(it.memory, Leaves)
    assert 1 == it.memory.creates


async def test_nothing_is_left_that_holds_money_or_a_courier(
    served: Served, tmp_path: Path
) -> None:
    run = await examine([served.participant], "--oms-at-once=4", folder=tmp_path)
    assert pytest.ExitCode.OK == run.finished.exit_code, run.out
    left = {served.memory.state(kept) for kept in served.memory.kept.values()}
    assert {"CANCELLED", "DECLINED"} == left


class CannotBeDescribed(MemoryDelivery):
    reflection = False


async def test_advice_that_is_not_taken_is_told_and_fails_nothing(tmp_path: Path) -> None:
    it = Served(CannotBeDescribed())
    await it.server.start()
    try:
        run = await examine([it.participant], "-k", "reads or reflection", folder=tmp_path)
    finally:
        await it.close()
    assert pytest.ExitCode.OK == run.finished.exit_code, run.out
    assert {"reads": "kept", "reflection": "advice"} == run.lines[it.participant]
    assert "1 advice" in run.out
    assert "ServerReflectionInfo answered UNIMPLEMENTED" in run.out


async def test_a_run_in_which_a_promise_could_not_be_looked_at_does_not_pass(
    tmp_path: Path,
) -> None:
    it = Served(CannotCancelANewOne())
    await it.server.start()
    try:
        # Only the one that rests on what is broken, and not what is broken itself.
        run = await examine([it.participant], "-k", "create-after-cancel", folder=tmp_path)
    finally:
        await it.close()
    assert {"create-after-cancel": "unchecked"} == run.lines[it.participant]
    assert pytest.ExitCode.TESTS_FAILED == run.finished.exit_code
    assert "NOT_CANCELLABLE" in run.out


async def test_every_promise_is_a_test_case_for_whoever_reads_junit_xml(
    served: Served, tmp_path: Path
) -> None:
    report = tmp_path / "report.xml"
    await examine([served.participant], "-k", "tombstone", f"--junitxml={report}", folder=tmp_path)
    assert 'name="cancel-leaves-tombstone"' in report.read_text()
