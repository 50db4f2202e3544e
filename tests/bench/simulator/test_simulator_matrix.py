from pathlib import Path

import pytest

from bench.simulator import matrix

MATRIX = Path(__file__).parents[3] / "docs" / "failure_matrix.md"


@pytest.mark.timeout(300)
def test_the_failure_matrix_is_what_the_system_does() -> None:
    assert MATRIX.read_text() == "".join(f"{line}\n" for line in matrix.drawn())
