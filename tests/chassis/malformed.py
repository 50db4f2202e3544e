"""Messages that nobody would send: any value that protobuf can carry, in any field."""

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
