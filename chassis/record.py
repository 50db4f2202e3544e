"""Records: values that nobody changes, made in C.

Invariant: what is a record has slots, is made by keywords, refuses whoever would change it, and is
compared and hashed by its values. `dataclasses.fields` and `dataclasses.replace` take it. Must
never: run Python when it is made; there are a hundred for each process, and a dataclass takes five
times as long.
"""

import dataclasses
from typing import Any, Final, Protocol, TypeVar, cast, dataclass_transform

import msgspec

T = TypeVar("T")


class _Replace(Protocol):
    def __call__(self, record: T, /, **changes: Any) -> T: ...  # noqa: ANN401 - a field's


replace: Final = cast("_Replace", msgspec.structs.replace)
"""A copy of a record with other values in some fields: twenty times as fast as dataclasses'."""

# What a class without slots has from the interpreter, and what was made of its annotations.
_NOT_ITS_OWN: Final = frozenset({"__dict__", "__weakref__", "__annotations__"})


@dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,)
)
def record(made: type[T]) -> type[T]:
    """Makes a class a record."""
    described = dataclasses.dataclass(init=False, repr=False, eq=False)(made)
    fields = dataclasses.fields(described)  # type: ignore[arg-type]
    left_out = _NOT_ITS_OWN.union(it.name for it in fields)
    struct: Any = msgspec.defstruct(
        made.__name__,
        [_field(it) for it in fields],
        namespace={name: it for name, it in vars(made).items() if name not in left_out},
        module=made.__module__,
        kw_only=True,
        frozen=True,
    )
    made_in_c: type[T] = struct
    return made_in_c


def _field(field: dataclasses.Field[Any]) -> tuple[str, Any] | tuple[str, Any, Any]:
    """A field as msgspec is told of it."""
    if field.default_factory is not dataclasses.MISSING:
        return field.name, field.type, msgspec.field(default_factory=field.default_factory)
    if field.default is not dataclasses.MISSING:
        return field.name, field.type, field.default
    return field.name, field.type
