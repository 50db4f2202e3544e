import subprocess
import sys


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.simulator", *words],
        check=False,
        capture_output=True,
        text=True,
    )


def test_a_plan_that_holds_is_told_step_by_step() -> None:
    told = run("replay", "delivered:1=twice")
    assert 0 == told.returncode
    assert "call create_order: twice" in told.stdout
    assert "ends: COMPLETED" in told.stdout


def test_what_does_not_hold_is_said_and_the_exit_code_is_1() -> None:
    told = run("replay", "delivered:0=usurped-after", "--bug", "create-overwrites")
    assert 1 == told.returncode
    assert "VIOLATED COMPLETED is confirmed, paid once and assigned" in told.stdout


def test_a_violation_comes_with_the_command_that_replays_it() -> None:
    told = run(
        "explore", "--singles", "--workers", "1", "--scenario", "free", "--bug", "cancel-lost"
    )
    assert 1 == told.returncode
    replay = told.stdout.splitlines()[-1].removeprefix("replay it: python -m bench.simulator ")
    again = run(*replay.split())
    assert 1 == again.returncode
    assert "VIOLATED" in again.stdout


def test_what_there_is_not_is_said_in_one_line() -> None:
    for words in (
        ("replay", "delivered:x"),
        ("replay", "gone:1=lost"),
        ("explore", "--world", "x"),
    ):
        told = run(*words)
        assert 2 == told.returncode
        assert 1 == len(told.stderr.splitlines())
