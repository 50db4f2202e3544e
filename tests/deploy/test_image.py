"""The image. No engine runs here: what its build reads is checked, and what its container runs."""

import asyncio
import fnmatch
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from console.fleet import MODULES
from tests.deploy.harness.image import (
    DOCKERFILE,
    ROOT,
    environment,
    exec_form,
    instructions,
    last_stage,
    locked,
)
from tests.deploy.harness.services import LISTENS
from tests.rules.test_imports import imports_of, modules_of
from tests.system.harness.process import clean_environment
from tests.system.harness.service import Service

BUILD = instructions(DOCKERFILE.read_text())
IMAGE = last_stage(BUILD)
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ("requirements-run.lock", "requirements-build.lock")


def sources() -> list[str]:
    """What is copied from the repository."""
    return [
        source
        for it in BUILD
        if it.name == "COPY" and not any(flag.startswith("--from=") for flag in it.flags)
        for source in it.words[:-1]
    ]


def one(name: str) -> str:
    (found,) = [it.text for it in IMAGE if it.name == name]
    return found


def test_the_linter_of_dockerfiles_has_nothing_against_it() -> None:
    told = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), DOCKERFILE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "", "") == (told.returncode, told.stdout, told.stderr)


def test_what_it_copies_is_there_and_is_all_that_the_builder_is_given() -> None:
    assert sources()
    assert [] == [it for it in sources() if not (ROOT / it).exists()]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" == next(it for it in ignored if not it.startswith("#"))
    assert set(sources()) == {it[1:] for it in ignored if it.startswith("!")}
    assert not any(fnmatch.fnmatch(".env", it) for it in sources())


def test_it_copies_every_package_of_our_wheel_and_what_the_wheel_is_described_by() -> None:
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    needed = {it.partition("/")[0] for it in wheel}
    described = {PYPROJECT["project"]["readme"], "pyproject.toml"}
    assert set() == (needed | described) - set(sources())


def test_nothing_is_installed_without_its_hash() -> None:
    installs = [
        command
        for it in BUILD
        if it.name == "RUN"
        for command in it.text.split("&&")
        if re.search(r"\bpip (install|wheel)\b", command)
    ]
    assert 4 == len(installs)
    for command in installs:
        # From the registry with hashes, or ours, from no registry at all.
        assert ("--require-hashes" in command) != ("--no-index" in command), command


@pytest.mark.parametrize("name", LOCKS)
def test_its_locks_are_parts_of_the_one_that_is_tested(name: str) -> None:
    whole, part = locked(ROOT / "requirements.lock"), locked(ROOT / name)
    assert part
    assert all(part.values()), "everything has a hash"
    assert {} == {pin: hashes for pin, hashes in part.items() if whole.get(pin) != hashes}


def test_a_lock_that_differs_by_a_version_or_a_hash_is_seen(tmp_path: Path) -> None:
    whole = locked(ROOT / "requirements.lock")
    text = (ROOT / LOCKS[0]).read_text()
    for old, new in (("grpcio==", "grpcio==0"), ("--hash=sha256:", "--hash=sha256:0")):
        planted = tmp_path / "planted.lock"
        planted.write_text(text.replace(old, new, 1))
        assert [pin for pin, hashes in locked(planted).items() if whole.get(pin) != hashes]


def test_what_runs_in_it_imports_nothing_that_only_developers_have() -> None:
    installed = {pin.partition("==")[0] for pin in locked(ROOT / "requirements-run.lock")}
    distributions = importlib.metadata.packages_distributions()
    ours = {*MODULES.values(), "chassis", "console", "bench", "oms"}
    # The plugin of `pytest --oms-participant` lives where pytest does.
    paths = [
        path
        for package in ours - {"oms", "bench"}
        for path in modules_of(package)
        if "conformance" not in path.parts
    ]
    roots = {(name.split(".")[0], path) for path in paths for name in imports_of(path)}
    missing = {
        f"{path.relative_to(ROOT)} imports {root}"
        for root, path in roots
        if root not in sys.stdlib_module_names
        and root not in ours
        and not {re.sub(r"[._]+", "-", it).lower() for it in distributions[root]} & installed
    }
    assert set() == missing


def test_it_runs_as_a_numbered_user_that_is_not_root() -> None:
    user, _, group = one("USER").partition(":")
    assert user.isdigit()
    assert group.isdigit()
    assert "0" not in {user, group}
    index = [it.name for it in IMAGE].index("USER")
    assert {"HEALTHCHECK", "CMD"} == {it.name for it in IMAGE[index + 1 :]}, "nor goes back"


def test_each_service_listens_on_its_own_port_and_on_every_address() -> None:
    set_ = {name: it for name, it in environment(IMAGE).items() if name.startswith("OMS_")}
    assert {
        f"OMS_{name.upper()}_LISTEN": it.replace("127.0.0.1", "0.0.0.0")  # noqa: S104 - said, not bound
        for name, it in LISTENS.items()
    } == set_
    assert [it.rpartition(":")[2] for it in LISTENS.values()] == one("EXPOSE").split()


def health_command() -> list[str]:
    return exec_form(one("HEALTHCHECK").partition("CMD ")[2])


def test_the_health_check_asks_every_port() -> None:
    assert set(LISTENS.values()) == set(health_command()[3:])


def test_the_health_check_has_the_time_that_its_command_may_take() -> None:
    timeout_seconds = re.search(r"--timeout=(\d+)s", one("HEALTHCHECK"))
    assert timeout_seconds
    # Each address may take 3 seconds (chassis.probe), and Python its time to start.
    assert 3 * len(LISTENS) + 5 <= int(timeout_seconds[1])


@pytest.fixture
async def order(tmp_path: Path) -> AsyncIterator[Service]:
    service = Service("order", folder=tmp_path, settings={})
    await service.start()
    yield service
    await service.close()


async def test_the_health_check_says_how_a_real_service_is(order: Service) -> None:
    """With the port of the one that runs here in place of its own: the defaults are not ours."""
    port = LISTENS["order"].rpartition(":")[2]
    elsewhere = "127.0.0.1:1"
    command = [
        order.address if it.endswith(f":{port}") else elsewhere if ":" in it else it
        for it in health_command()
    ]

    async def check() -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command[1:],
            env=clean_environment({}),
            stderr=asyncio.subprocess.DEVNULL,
        )
        return await process.wait()

    assert "python" == command[0]
    assert 0 == await check()
    await order.stop()
    assert 1 == await check()


def test_the_commands_that_choose_a_service_are_there() -> None:
    text = DOCKERFILE.read_text()
    for module in MODULES.values():
        assert module in text
        assert (ROOT / module / "__main__.py").is_file()
    assert ["oms", "--help"] == exec_form(one("CMD"))
    assert "oms" in PYPROJECT["project"]["scripts"]
