"""gRPC ignores an option that it does not know, without a word: misspelt, it changes nothing."""

import re
from pathlib import Path

import grpc
import pytest

ROOT = Path(__file__).parents[2]
OPTION = re.compile(r'\(\s*"(grpc\.[a-z0-9_.]+)",')


def options() -> list[str]:
    """Every option that the code sets, wherever it does."""
    texts = (
        path.read_text()
        for folder in ("chassis", "console", "orchestrator", "bench", "tests")
        for path in sorted((ROOT / folder).rglob("*.py"))
    )
    return sorted({found for text in texts for found in OPTION.findall(text)})


@pytest.fixture(scope="module")
def library() -> bytes:
    """The library itself, which holds the name of each option that it reads."""
    (compiled,) = (Path(grpc.__file__).parent / "_cython").glob("cygrpc.*.so")
    return compiled.read_bytes()


@pytest.mark.parametrize("option", options())
def test_an_option_that_is_set_is_one_that_the_library_reads(option: str, library: bytes) -> None:
    known = option.encode() + b"\0" in library
    assert known
