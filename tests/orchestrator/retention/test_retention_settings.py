"""What the orchestrator may be told about retention, and what it says where that cannot be."""

import pytest

from chassis.settings import load
from orchestrator.settings import OrchestratorSettings


def settings(*flags: str) -> OrchestratorSettings:
    return load(OrchestratorSettings, flags, program="orchestrator", description="it")


def test_everything_is_kept_for_ever_unless_somebody_says_otherwise() -> None:
    assert settings().terms() is None


def test_both_are_given_in_seconds() -> None:
    terms = settings(
        "--return-window-seconds=0",
        "--compensation-horizon-seconds=0.5",
        "--retention-seconds=0.75",
        "--request-id-retention-seconds=20",
    ).terms()
    assert terms is not None
    assert (0.75, 20.0) == (terms.settled_seconds, terms.request_id_seconds)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--retention-seconds=86400"], "more than the return window and the compensation horizon"),
        (["--retention-seconds=1296000"], "1.296e+06"),
        (["--request-id-retention-seconds=5"], "needs OMS_RETENTION_SECONDS"),
        (
            ["--retention-seconds=2000000", "--request-id-retention-seconds=1999999"],
            "at least OMS_RETENTION_SECONDS",
        ),
        (["--retention-seconds=-1"], "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_is_said_and_ends_with_code_2(
    flags: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        settings(*flags)
    assert 2 == left.value.code
    assert says in capsys.readouterr().err


def test_just_more_than_both_together_will_do() -> None:
    assert settings("--retention-seconds=1296001").terms() is not None
