"""Records: dataclasses that nobody changes.

Invariant: what is a record has slots, is made by keywords, is compared and hashed by its values,
and the type checker refuses whoever would change one. Must never: be asked to enforce that at run
time as well: dataclasses' own guard makes a record three times as slow to make, and there are a
hundred for each process.
"""

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def record(made: type[T]) -> type[T]:
    """Makes a class a record."""
    return dataclass(slots=True, kw_only=True, unsafe_hash=True)(made)
