"""JSON as short as it gets, by an encoder that is made once.

Invariant: a text is, to the byte, what `json.JSONEncoder` makes of the value, and what that refuses
is refused in the same way. Must never: keep anything of a value for the next one.

`JSONEncoder.encode` makes itself an encoder in C for each text: a quarter of a short one's cost.
"""

import json
from collections.abc import Callable

# Not public, so it is done without where it is not there.
_make_encoder = getattr(json.encoder, "c_make_encoder", None)


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
    texts = json.encoder.encode_basestring_ascii if ensure_ascii else json.encoder.encode_basestring
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
