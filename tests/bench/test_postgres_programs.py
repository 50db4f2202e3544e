"""A PostgreSQL in a wheel runs wherever the project lies, whoever the user is."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bench import postgres, postgres_programs
from bench.postgres import PostgresServer, WillNotStart
from bench.postgres_programs import copied, installed, open_temporary_folder, open_to_all


def version(folder: Path) -> str:
    """What the server program says of itself, where it finds its libraries."""
    told = subprocess.run([folder / "bin" / "postgres", "-V"], capture_output=True, check=False)
    return told.stdout.decode()


@pytest.fixture
def private(tmp_path: Path) -> Path:
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    return folder


def test_a_copy_finds_its_libraries(tmp_path: Path) -> None:
    copy = copied(tmp_path)
    assert version(installed()) == version(copy)
    assert "PostgreSQL" in version(copy)


def test_what_lies_in_somebodys_private_folder_is_not_open_to_all(private: Path) -> None:
    inside = private / "inside"
    inside.mkdir(mode=0o755)
    assert not open_to_all(inside)
    private.chmod(0o755)
    assert open_to_all(private) == open_to_all(private.parent)


def test_a_temporary_folder_is_open_also_where_the_usual_place_is_not(
    private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(private))
    folder = open_temporary_folder("oms-test-")
    assert open_to_all(folder)
    folder.rmdir()


@pytest.fixture
def server_of_a_private_project(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresServer]:
    """As root in a folder that nobody else can come to: a copy is what is run."""
    monkeypatch.setattr(postgres, "open_to_all", lambda _: False)
    server = PostgresServer(durable=False)
    yield server
    server.close()


def test_a_server_starts_from_a_project_in_a_private_folder(
    server_of_a_private_project: PostgresServer,
) -> None:
    server_of_a_private_project.start()
    with psycopg.connect(server_of_a_private_project.url()) as connection:
        assert (1,) == connection.execute("SELECT 1").fetchone()


def test_a_server_that_cannot_be_set_up_says_why(tmp_path: Path) -> None:
    server = PostgresServer(durable=False)
    (tmp_path / "postgres").symlink_to(server.binary("postgres"))
    (tmp_path / "initdb").write_text("#!/bin/sh\necho 'no room' >&2\nexit 1\n")
    (tmp_path / "initdb").chmod(0o755)
    server._binaries = tmp_path
    server._user = None
    with pytest.raises(WillNotStart, match="no room"):
        server.start()
    server.close()


def test_without_the_wheel_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_programs, "find_spec", lambda _: None)
    with pytest.raises(WillNotStart, match="make setup"):
        PostgresServer(durable=False)
