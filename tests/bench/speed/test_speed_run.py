"""A handful of orders on real processes."""

import json
import os
import sys
from pathlib import Path

import pytest

from bench.chaos.service import WillNotRun
from bench.speed.__main__ import EXIT_USAGE, main
from bench.speed.child import Child
from bench.speed.stage import BENCH_PYTHON

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")


def test_bare_and_ours_are_measured_and_every_order_is_completed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A picture of a run before this one.
    (tmp_path / "latest.png").write_bytes(b"")
    code = main(
        [
            *("compare", "--contenders", "bare,ours-sqlite", "--loads", "1", "--rounds", "1"),
            *("--warm-up-seconds", "0", "--measured-seconds", "0.2", "--out", str(tmp_path)),
        ]
    )
    kept = json.loads((tmp_path / "latest.json").read_text())
    assert (0, {}) == (code, kept["failures"])
    assert ["bare", "ours-sqlite"] == [it["contender"] for it in kept["slices"]]
    for it in kept["slices"]:
        assert it["processes"] >= 1
        assert it["cpu_ms"].keys() == {"orchestrator", "participants", "database"}
        assert it["memory_mib"] > 10
    text = capsys.readouterr().out
    assert (tmp_path / "latest.txt").read_text() == text
    assert "1 in flight, SQLite: p50, against bare" in text
    assert (tmp_path / "latest.svg").read_text().startswith("<svg")
    assert BENCH_PYTHON.exists() == (tmp_path / "latest.png").exists()
    assert any("fewer than 5 rounds" in it for it in kept["notes"])


def test_a_contender_that_there_is_not_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert EXIT_USAGE == main(["--contenders", "temporal"])
    assert "there are bare, ours-sqlite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("loads", "told"),
    [
        ("7", "none of these contenders is measured with 7 in flight; there are 1 32 64"),
        ("abc", "'abc' is not a whole number of at least 1"),
        ("0", "'0' is not a whole number of at least 1"),
    ],
)
def test_a_load_that_nobody_is_measured_with_is_told(
    loads: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["compare", "--contenders", "bare", "--loads", loads])
    assert EXIT_USAGE == ended.value.code
    assert told in capsys.readouterr().err


def test_a_quick_run_says_what_it_is_and_leaves_what_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "latest.txt").write_text("three quarters of an hour")
    asked = ["compare", "--contenders", "bare", "--loads", "1", "--quick", "--out", str(tmp_path)]
    assert 0 == main(asked)
    assert "NOTE: one short round shows that it runs" in capsys.readouterr().out
    assert "three quarters of an hour" == (tmp_path / "latest.txt").read_text()
    assert {"quick.json", "quick.txt", "quick.svg"} <= {it.name for it in tmp_path.iterdir()}


async def test_a_process_that_ends_by_itself_is_told_with_its_last_words(tmp_path: Path) -> None:
    child = Child(
        "short", (sys.executable, "-c", "raise SystemExit('out of luck')"), folder=tmp_path
    )
    try:
        with pytest.raises(WillNotRun, match="out of luck"):
            await child.start(dict(os.environ))
    finally:
        await child.close()
