"""Texts from outside, made fit to be kept."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.saga.text import bounded


def test_what_is_fit_stays_as_it_is() -> None:
    for text in ("", "PAYMENT_DECLINED", "déjà vu, 注文 \U0001f600", " blanks  stay "):
        assert text == bounded(text, 1_000)


def test_what_is_unfit_becomes_a_blank() -> None:
    assert "a b c d e f" == bounded("a\x00b\nc\u2028d\x1be\ud800f", 1_000)


def test_what_is_too_long_is_cut() -> None:
    assert "abc" == bounded("abcdef", 3)
    assert "" == bounded("abcdef", 0)


@given(text=st.text(st.characters()), length_max=st.integers(0, 30))
def test_whatever_comes_in_what_is_kept_can_be_stored_and_shown(text: str, length_max: int) -> None:
    kept = bounded(text, length_max)
    assert len(kept) == min(len(text), length_max)
    kept.encode()
    assert all(unicodedata.category(char) not in {"Cc", "Zl", "Zp", "Cs"} for char in kept)
