"""deploy/compose.yaml, with an .env filled in.

Invariant: a variable that the file requires and .env.example does not name fails here, as it would
in docker compose.
"""

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[3]
COMPOSE: Final = ROOT / "deploy" / "compose.yaml"
EXAMPLE: Final = ROOT / "deploy" / ".env.example"
SECRET: Final = "1234abcd"

# `${NAME}`, `${NAME:?what is wrong}`, `${NAME:-default}`.
_VARIABLE: Final = re.compile(r"\$\{(?P<name>\w+)(?::(?P<sign>[?-])(?P<rest>[^}]*))?\}")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600}


def example() -> dict[str, str]:
    """What .env.example asks for, each with a value."""
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and line[0] != "#"]
    assert all(line.endswith("=") for line in lines), "no value is kept here"
    return {line.removesuffix("="): SECRET for line in lines}


def read(environment: Mapping[str, str]) -> dict[str, Any]:
    """The file with its variables put in."""

    def value(found: re.Match[str]) -> str:
        if known := environment.get(found["name"]):
            return known
        assert found["sign"] == "-", f"{found['name']} is not set: {found['rest']}"
        return str(found["rest"])

    lines = [it for it in COMPOSE.read_text().splitlines() if not it.lstrip().startswith("#")]
    whole = yaml.safe_load(_VARIABLE.sub(value, "\n".join(lines)))
    assert isinstance(whole, dict)
    return whole


def seconds(duration: str) -> int:
    """`40s`, `2m` in seconds."""
    return int(duration[:-1]) * _SECONDS[duration[-1]]


def postgres_options(command: list[str]) -> dict[str, str]:
    """What `postgres -c name=value` is told."""
    pairs = itertools.pairwise(command)
    return dict(value.split("=", 1) for flag, value in pairs if flag == "-c")
