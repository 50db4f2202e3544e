"""Whatever deploy/ calls a setting is one, in its comments too."""

import re
from pathlib import Path

import pytest

from tests.deploy.harness.compose import example
from tests.deploy.harness.services import KNOWN
from tests.rules.test_tidy import name_of, tracked

# Of compose.yaml alone: which image it runs.
OF_COMPOSE = frozenset({"OMS_VERSION"})
FILES = tracked("deploy")


def unknown(text: str) -> set[str]:
    """The names that are neither a setting nor asked for by .env.example."""
    return set(re.findall(r"\bOMS_[A-Z_]*[A-Z]", text)) - KNOWN - set(example()) - OF_COMPOSE


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    assert set() == unknown(path.read_text())


def test_a_setting_that_does_not_exist_is_seen() -> None:
    assert {"OMS_DRAIN_SECONDS"} == unknown("OMS_LOG_LEVEL=info\nOMS_DRAIN_SECONDS=3\n")
