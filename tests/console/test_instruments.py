import subprocess
import sys

import pytest


def oms(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "console", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize("name", ["explore", "simulate"])
def test_an_instrument_explains_its_own_options(name: str) -> None:
    told = oms(name, "--help")
    assert 0 == told.returncode
    assert "--world" in told.stdout


def test_an_instrument_answers_for_itself_when_asked_for_what_there_is_not() -> None:
    told = oms("explore", "--world", "nowhere:at_all")
    assert 2 == told.returncode
    assert "nowhere" in told.stderr
    assert "Traceback" not in told.stderr
