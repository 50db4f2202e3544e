"""Messages that nobody would send: any value that protobuf can carry, in any field."""

from collections.abc import Iterator
from typing import Any, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

M = TypeVar("M", bound=Message)

# What is likely to be nearly right, so that the rest of a request is looked at too.
_TEXTS = st.sampled_from(
    ["", " ", "USD", "US", "EUR", "AQ", "x", "x" * 129, "a\0b", "a\nb", "\u2028", "é", "-x", "''--"]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_INT32 = st.sampled_from([0, 1, -1, 2**31 - 1, -(2**31)]) | st.integers(-(2**31), 2**31 - 1)
_INT64 = st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63)]) | st.integers(-(2**63), 2**63 - 1)


def messages(kind: type[M]) -> st.SearchStrategy[M]:
    """Messages of a kind, each field left out or filled with anything of its type."""
    return _fillings(cast("Descriptor", kind.DESCRIPTOR)).map(
        lambda filling: _filled(kind(), filling)
    )


def with_nul(right: M) -> Iterator[tuple[str, M]]:
    """A message once for each of its texts, with a NUL in it; and the path of that text."""
    for path, holder, field, place in _texts_of(right, ""):
        before = getattr(holder, field)
        text = before if place is None else before[place]
        for value in (f"{text}\0", f"\0{text}"):
            _put(holder, field, place, value)
            spoilt = type(right)()
            spoilt.CopyFrom(right)
            yield path, spoilt
        _put(holder, field, place, text)


def _put(holder: Message, field: str, place: int | None, value: str) -> None:
    if place is None:
        setattr(holder, field, value)
    else:
        getattr(holder, field)[place] = value


def _texts_of(message: Message, at: str) -> Iterator[tuple[str, Message, str, int | None]]:
    for field in cast("Descriptor", message.DESCRIPTOR).fields:
        path, value = f"{at}{field.name}", getattr(message, field.name)
        is_text = field.cpp_type == FieldDescriptor.CPPTYPE_STRING
        if field.is_repeated:
            for place, it in enumerate(value):
                if is_text:
                    yield f"{path}[{place}]", message, field.name, place
                elif field.message_type is not None:
                    yield from _texts_of(it, f"{path}[{place}].")
        elif is_text:
            yield path, message, field.name, None
        elif field.message_type is not None and message.HasField(field.name):
            yield from _texts_of(value, f"{path}.")


def _filled(message: M, filling: dict[str, Any]) -> M:
    for name, value in filling.items():
        field = getattr(message, name)
        if isinstance(value, dict):
            field.SetInParent()
            _filled(field, value)
        elif isinstance(value, list):
            for it in value:
                if isinstance(it, dict):
                    _filled(field.add(), it)
                else:
                    field.append(it)
        else:
            setattr(message, name, value)
    return message


def _fillings(descriptor: Descriptor) -> st.SearchStrategy[dict[str, Any]]:
    values = {field.name: _values(field) for field in descriptor.fields}
    return st.fixed_dictionaries({}, optional=values)


def _values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    one = _one(field)
    return st.lists(one, max_size=4) if field.is_repeated else one


def _one(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return _fillings(field.message_type)
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            return _TEXTS
        case FieldDescriptor.CPPTYPE_INT64:
            return _INT64
        case FieldDescriptor.CPPTYPE_INT32 | FieldDescriptor.CPPTYPE_ENUM:
            return _INT32
        case FieldDescriptor.CPPTYPE_BOOL:
            return st.booleans()
        case _:
            raise AssertionError(f"no values are known for {field.full_name}")
