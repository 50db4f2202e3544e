"""JSON as short as it gets, by an encoder that is made once, or not at all where its text is known.

Invariant: a text is, to the byte, what `json.JSONEncoder` makes of the value, and what that refuses
is refused in the same way. Must never: keep anything of a value for the next one.

`JSONEncoder.encode` makes itself an encoder in C for each text: a quarter of a short one's cost.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

quoted: Final[Callable[[str], str]] = json.encoder.encode_basestring_ascii
"""A text as JSON, in ASCII."""

# Not public, so it is done without where it is not there.
_make_encoder = getattr(json.encoder, "c_make_encoder", None)


class Written(dict[str, Any]):
    """A JSON object of which a text is known. Whoever makes one says the same in both.

    It stays as it is: what is put into it afterwards is not in the text.
    """

    __slots__ = ("text",)

    def __init__(self, content: Mapping[str, Any], text: str) -> None:
        super().__init__(content)
        self.text: Final = text
        """What `json.loads` makes the content of."""


def json_encoder(*, ensure_ascii: bool = True, allow_nan: bool = True) -> Callable[[object], str]:
    """What makes a text of a value.

    It raises TypeError where there is something in the value that JSON cannot say, and ValueError
    where there is a number that it cannot say, or the value holds itself.
    """
    plain = json.JSONEncoder(
        ensure_ascii=ensure_ascii,
        allow_nan=allow_nan,
        separators=(",", ":"),
    )
    if _make_encoder is None:
        return plain.encode
    texts = quoted if ensure_ascii else json.encoder.encode_basestring
    # Without a note of what it is within: one that is kept would outlast a value that was refused.
    chunks = _make_encoder(
        None, plain.default, texts, None, ":", ",", plain.sort_keys, plain.skipkeys, allow_nan
    )

    def encode(value: object) -> str:
        try:
            return "".join(chunks(value, 0))
        except RecursionError:
            return plain.encode(value)  # it says whether the value holds itself

    return encode
