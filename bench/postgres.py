"""A PostgreSQL of one's own: from a wheel, in a temporary folder, on a free port of 127.0.0.1.

Invariant: it is this process's child, and nobody else's: `close` ends it and takes its folder away,
and on Linux the kernel ends it with the thread that started it. Must never: need a service or a
user of the system's; where this process is root, which PostgreSQL refuses to be, it runs as nobody.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Final

import psycopg

import bench.tied_child
from bench.chaos.port import Port
from bench.postgres_programs import (
    NotInstalled,
    copied,
    installed,
    open_temporary_folder,
    open_to_all,
)

READY_SECONDS_MAX: Final = 60.0
STOP_SECONDS_MAX: Final = 60.0
ROLE: Final = "oms"

_UNPRIVILEGED: Final = "nobody"
_READY: Final = "ready to accept connections"
_LAST_WORDS: Final = 20
_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "log_timezone": "UTC",
    # A lock that two wait for in a circle is found soon, as a test would have it.
    "deadlock_timeout": "100ms",
    # After a crash each file of the data would be synced by itself: that takes seconds.
    **({"recovery_init_sync_method": "syncfs"} if sys.platform == "linux" else {}),
}
_NOT_DURABLE: Final = {"fsync": "off", "full_page_writes": "off"}


class WillNotStart(Exception):  # noqa: N818 - named by what it means
    """The server does not come up; the text holds the end of its log."""


class PostgresServer:
    """A server, started by `start` and ended by `close`; in between it may be restarted at will.

    To be used from one thread.
    """

    def __init__(self, *, durable: bool = True, settings: Iterable[tuple[str, str]] = ()) -> None:
        """`durable`: whether it outlives a crash of the machine, and not only one of its own."""
        self._settings = {**_SETTINGS, **({} if durable else _NOT_DURABLE), **dict(settings)}
        try:
            there = installed()
        except NotInstalled as missing:
            raise WillNotStart(str(missing)) from None
        self._user = _unprivileged_user()
        self._folder = open_temporary_folder("oms-postgres-")
        # Who runs it may not be able to come to where it is installed.
        within_reach = self._user is None or open_to_all(there)
        self._binaries = (there if within_reach else copied(self._folder)) / "bin"
        self._port = Port()
        self._data = self._folder / "data"
        self._child: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._ready = threading.Event()
        self._said: list[str] = []
        self.starts = 0

    def url(self, database: str = "postgres") -> str:
        """Where it is, as the services are told."""
        return f"postgresql://{ROLE}@{self._port.address}/{database}"

    @property
    def pid(self) -> int:
        """Its first process."""
        assert self._child is not None, "it runs"
        return self._child.pid

    def binary(self, name: str) -> Path:
        """A program that comes with it, for example `pg_dump`."""
        return self._binaries / name

    def start(self) -> None:
        """Starts it and waits until it takes connections.

        Raises:
            WillNotStart: It does not come up.
        """
        assert self._child is None, "it does not run yet"
        if not self._data.exists():
            self._create()
        self._ready.clear()
        options = [part for it in self._settings.items() for part in ("-c", "=".join(it))]
        self._child = subprocess.Popen(  # noqa: S603 - the wheel's own program
            [
                *self._as_user(),
                *(self.binary("postgres"), "-D", self._data, "-p", str(self._port.number)),
                *options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            # A group of its own: Ctrl-C in a terminal is not for it.
            start_new_session=True,
        )
        assert self._child.stderr is not None
        self._reader = threading.Thread(
            target=self._listen, args=(self._child.stderr,), name="postgres-log", daemon=True
        )
        self._reader.start()
        if not self._ready.wait(READY_SECONDS_MAX) or self._child.poll() is not None:
            said = "\n".join(self._said[-_LAST_WORDS:])
            self.stop(signal.SIGKILL)
            raise WillNotStart(said)
        self.starts += 1

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Ends it: SIGINT cuts off who is connected, SIGQUIT does so as a crash would."""
        child, self._child = self._child, None
        if child is None:
            return
        child.send_signal(how)
        try:
            child.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        assert self._reader is not None
        assert child.stderr is not None
        self._reader.join()
        child.stderr.close()

    def restart(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Ends it and starts it again, by default as after a crash (`immediate`)."""
        self.stop(how)
        self.start()

    def create_database(self, name: str) -> str:
        """Creates a database; its URL."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(
                psycopg.sql.Identifier(name)
            ))  # fmt: skip
        return self.url(name)

    def close(self) -> None:
        """Ends it and removes everything."""
        self.stop()
        self._port.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _create(self) -> None:
        self._data.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(self._data, self._user.pw_uid, self._user.pw_gid)
        made = subprocess.run(  # noqa: S603 - the wheel's own program
            [
                *self._as_user(),
                *(self.binary("initdb"), "-D", self._data, "-U", ROLE),
                *("--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
            ],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if made.returncode != 0:
            raise WillNotStart(made.stderr.strip() or f"initdb: exit code {made.returncode}")

    def _as_user(self) -> tuple[str, ...]:
        """What a command begins with that is ours, and not for root.

        A child is never forked from here: gRPC's threads would be in the way.
        """
        leash = (sys.executable, "-I", "-S", str(bench.tied_child.__file__), str(os.getpid()))
        if self._user is None:
            return (*leash, "", "")
        return (*leash, str(self._user.pw_uid), str(self._user.pw_gid))

    def _listen(self, log: IO[str]) -> None:
        for line in log:
            self._said.append(line.rstrip())
            del self._said[:-1_000]
            if _READY in line:
                self._ready.set()
        # It has ended: whoever waits for it need not wait any longer.
        self._ready.set()


@contextlib.contextmanager
def running(*, durable: bool = True) -> Iterator[PostgresServer]:
    """A server for as long as the block lasts."""
    server = PostgresServer(durable=durable)
    try:
        server.start()
        yield server
    finally:
        server.close()


def _unprivileged_user() -> pwd.struct_passwd | None:
    return pwd.getpwnam(_UNPRIVILEGED) if os.geteuid() == 0 else None
