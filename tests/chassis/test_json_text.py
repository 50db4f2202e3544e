"""JSON texts: to the byte what the standard library makes, and refused where it refuses."""

import json
from typing import Any

import pytest

from chassis import json_text
from chassis.json_text import json_encoder

OPTIONS = (
    {"ensure_ascii": True, "allow_nan": True},
    {"ensure_ascii": False, "allow_nan": False},
    {"ensure_ascii": True, "allow_nan": False},
)
VALUES: tuple[object, ...] = (
    {},
    [],
    "",
    None,
    True,
    -(2**70),
    1.5e300,
    'said "é" \\ \n \x00 \ud800 \U0001f600',
    {"b": [1, (2, {}), []], "a": {"": None}, "é": "é"},
    {3: 1, 2: {True: False}} | {1: None},
)


def holding_itself() -> list[Any]:
    value: list[Any] = [1]
    value.append({"in": value})
    return value


@pytest.fixture(params=["in C", "in Python"], autouse=True)
def made(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "in Python":
        monkeypatch.setattr(json_text, "_make_encoder", None)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_text_is_what_the_standard_library_makes_of_it(options: dict[str, bool]) -> None:
    plain = json.JSONEncoder(separators=(",", ":"), **options)  # type: ignore[arg-type]
    encode = json_encoder(**options)
    assert [plain.encode(it) for it in VALUES] == [encode(it) for it in VALUES]


def test_a_number_that_json_does_not_have_is_refused_where_it_is_to_be() -> None:
    assert "[NaN]" == json_encoder()([float("nan")])
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_encoder(allow_nan=False)([float("nan")])


def test_what_json_cannot_say_is_refused_each_time() -> None:
    encode = json_encoder()
    for _ in range(2):
        with pytest.raises(TypeError, match="set is not JSON serializable"):
            encode({"here": {1}})


def test_what_holds_itself_is_refused_and_is_fine_once_it_does_not() -> None:
    encode = json_encoder()
    value = holding_itself()
    with pytest.raises(ValueError, match="Circular reference"):
        encode(value)
    value.pop()
    assert "[1]" == encode(value)
