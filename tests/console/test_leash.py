"""The leash of a service."""

import os
import subprocess
import sys
from pathlib import Path

from console import leash

LEASH = [sys.executable, "-I", "-S", str(Path(leash.__file__))]


def test_the_command_takes_the_place_of_the_leash() -> None:
    say = "import os, sys; print(os.getpid(), sys.argv[1:]); sys.exit(7)"
    command = [*LEASH, str(os.getpid()), sys.executable, "-c", say, "--flag", "two words"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        out, _ = process.communicate(timeout=30)
    assert (7, f"{process.pid} ['--flag', 'two words']\n") == (process.returncode, out)


def test_nothing_is_run_for_a_supervisor_that_has_died_already() -> None:
    command = [*LEASH, "1", sys.executable, "-c", "print('ran')"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (1, "") == (ran.returncode, ran.stdout)
    assert "the supervisor died before the service began" in ran.stderr
