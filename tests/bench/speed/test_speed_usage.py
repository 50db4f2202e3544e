"""What processes have used, read from the kernel."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.speed.usage import NoUsage, usage_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")

TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
# Works for a while in a thread, and maybe in a child, which may live on; says so; waits for a line.
BUSY = """
import subprocess, sys, threading, time
CHILD = "import time\\nwhile time.process_time() < 0.3: pass\\nprint(flush=True)\\ninput()"
def work():
    while time.thread_time() < 0.2:
        pass
thread = threading.Thread(target=work)
thread.start()
thread.join()
if sys.argv[1]:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    child.stdout.readline()
    if sys.argv[1] == "ended":
        child.communicate(b"\\n")
print(time.process_time(), flush=True)
input()
"""


@pytest.mark.parametrize(("how", "children_seconds"), [("", 0.0), ("ended", 0.3), ("living", 0.3)])
def test_the_time_of_threads_and_children_is_counted(how: str, children_seconds: float) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BUSY, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        own_seconds = float(process.stdout.readline())
        used = usage_of([process.pid])
        process.stdin.write("\n")
        process.stdin.flush()
    assert own_seconds >= 0.2
    # Each of two processes is counted in whole ticks.
    assert used.cpu_seconds >= own_seconds + children_seconds - 4 * TICK_SECONDS


def test_the_peak_is_what_once_was_there() -> None:
    program = "data = bytearray(64 * 2**20)\ndel data\nprint(flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        used = usage_of([process.pid])
        process.stdin.write(b"\n")
        process.stdin.flush()
    assert used.memory_bytes_peak >= 64 * 2**20 > used.memory_bytes_now > 0


def test_a_process_that_is_not_there_is_told() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        with pytest.raises(NoUsage, match=str(process.pid)):
            usage_of([process.pid])


def test_nothing_uses_nothing() -> None:
    used = usage_of([])
    assert (0, 0, 0) == (used.cpu_seconds, used.memory_bytes_now, used.memory_bytes_peak)


def test_a_name_with_spaces_and_brackets_does_not_shift_the_fields(tmp_path: Path) -> None:
    folder = tmp_path / "7"
    folder.mkdir()
    numbers = ["S", *("0" for _ in range(10)), "100", "20", "3", "4", *("0" for _ in range(20))]
    (folder / "stat").write_text(f"7 (a) b) {' '.join(numbers)}")
    (folder / "status").write_text("Name:\ta) b\nVmHWM:\t 2048 kB\nVmRSS:\t 1024 kB\n")
    used = usage_of([7], proc=tmp_path)
    assert 127 * TICK_SECONDS == pytest.approx(used.cpu_seconds)
    assert (1_048_576, 2_097_152) == (used.memory_bytes_now, used.memory_bytes_peak)
