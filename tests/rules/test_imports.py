"""Who may import whom (docs/ARCHITECTURE.md): data flows one way; these tests hold it to that."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = ("order_svc", "payment_svc", "delivery_svc")
OURS = frozenset({"chassis", *SERVICES, "orchestrator", "console"})


def modules_of(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found, f"{package} has no modules: the rule would hold of nothing"
    return found


def imports_of(path: Path) -> Iterator[str]:
    """Every module name that a file imports, whole; imports relative to the file are made whole."""
    for node in ast.walk(ast.parse(path.read_text(), filename=str(path))):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
                yield from (f"{module}.{alias.name}" for alias in node.names)
            case ast.ImportFrom(level=level) if level > 0:
                pytest.fail(f"{path.relative_to(ROOT)}: imports are written whole, never relative")


def roots_of(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports_of(path)}


def rows(packages: tuple[str, ...]) -> list[Path]:
    return [path for package in packages for path in modules_of(package)]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


PURE = [
    *modules_of("orchestrator/saga"),
    *(ROOT / service / "domain.py" for service in SERVICES),
]
# How a record is made is nothing that decides (docs/decisions/0025).
RECORDS = "chassis.record"


@pytest.mark.parametrize("path", PURE, ids=name_of)
def test_what_decides_imports_only_the_standard_library_and_records(path: Path) -> None:
    outside = {
        name
        for name in imports_of(path)
        if name.split(".")[0] not in sys.stdlib_module_names
        and not name.startswith(("orchestrator.saga", RECORDS))
    } - {"orchestrator"}
    # A domain does not even know the saga.
    if path.name == "domain.py":
        outside |= {name for name in imports_of(path) if name.startswith("orchestrator")}
    assert set() == outside


IMPURE = frozenset({"asyncio", "random", "secrets", "time", "threading", "sqlite3", "socket", "os"})


@pytest.mark.parametrize("path", PURE, ids=name_of)
def test_what_decides_knows_no_clock_no_chance_and_no_input_or_output(path: Path) -> None:
    assert set() == roots_of(path) & IMPURE


@pytest.mark.parametrize("path", modules_of("chassis"), ids=name_of)
def test_the_chassis_knows_no_service(path: Path) -> None:
    assert set() == roots_of(path) & (OURS - {"chassis"})


@pytest.mark.parametrize("service", SERVICES)
def test_a_participant_knows_neither_the_others_nor_the_orchestrator(service: str) -> None:
    strangers = OURS - {"chassis", service}
    assert {} == {
        name_of(path): roots_of(path) & strangers
        for path in modules_of(service)
        if roots_of(path) & strangers
    }


def test_the_orchestrator_knows_its_participants_only_by_their_contract() -> None:
    strangers = {*SERVICES, "console"}
    assert {} == {
        name_of(path): roots_of(path) & strangers
        for path in modules_of("orchestrator")
        if roots_of(path) & strangers
    }


def test_the_console_knows_only_the_contract() -> None:
    strangers = OURS - {"console"}
    assert {} == {
        name_of(path): roots_of(path) & strangers
        for path in modules_of("console")
        if roots_of(path) & strangers
    }


# Where protobuf messages are turned into what is ours, and back. Nothing further in sees one.
EDGES = frozenset(
    {
        "servicer.py",
        "admin_servicer.py",
        "requests.py",
        "views.py",
        # These two only register servicers with a server.
        "assembly.py",
        "__main__.py",
    }
)


@pytest.mark.parametrize("path", rows((*SERVICES, "orchestrator")), ids=name_of)
def test_generated_messages_stop_at_the_edge(path: Path) -> None:
    if path.name in EDGES or "participants" in path.parts:
        return
    assert set() == roots_of(path) & {"oms", "google"}


@pytest.mark.parametrize(
    "path",
    [
        *modules_of("orchestrator/saga_log"),
        *(
            ROOT / "orchestrator" / f"{name}.py"
            for name in (
                "action",
                "breaker",
                "chronicle",
                "feed",
                "gate",
                "overheard",
                "ramp",
                "recovery",
                "run",
                "runner",
            )
        ),
    ],
    ids=name_of,
)
def test_neither_the_log_nor_the_runner_knows_about_orders(path: Path) -> None:
    words = {"order", "orders", "payment", "payments", "delivery", "deliveries", "courier"}
    code = ast.parse(path.read_text())
    names = {
        part
        for node in ast.walk(code)
        for name in (
            [node.id]
            if isinstance(node, ast.Name)
            else [node.attr]
            if isinstance(node, ast.Attribute)
            else [node.arg]
            if isinstance(node, ast.arg)
            else [node.name]
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            else []
        )
        for part in name.lower().split("_")
    }
    # `order_by` and the order of things are SQL's and everybody's word.
    assert set() == (names & words) - {"order"}
    assert not any("order_process" in name for name in imports_of(path))


@pytest.mark.parametrize(
    "path", rows((*SERVICES, "orchestrator", "chassis", "console")), ids=name_of
)
def test_wiring_is_done_in_main_alone(path: Path) -> None:
    """Importing a module does nothing: no statement at its top calls for the sake of the call."""
    if path.name == "__main__.py":
        return
    calls = [
        node.lineno
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        # SQLAlchemy declares an index by making one.
        and not (isinstance(node.value.func, ast.Name) and node.value.func.id == "Index")
    ]
    assert [] == calls
