"""Text from outside, made fit to be kept.

Invariant: what is kept is bounded and holds no control characters, so it can be stored, logged and
shown anywhere. Must never: refuse a text.
"""

import unicodedata
from typing import Final

MESSAGE_LENGTH_MAX: Final = 1_000
REASON_LENGTH_MAX: Final = 200

# Control characters, line and paragraph separators, halves of surrogate pairs.
_UNFIT: Final = frozenset({"Cc", "Zl", "Zp", "Cs"})


def bounded(text: str, length_max: int) -> str:
    """The text with a blank for every character that is unfit, cut to that many characters."""
    if not text:
        return text
    cut = text[:length_max]
    if cut.isascii() and cut.isprintable():
        return cut
    return "".join(" " if unicodedata.category(char) in _UNFIT else char for char in cut)
