"""What a unary call costs on the side that makes it, where it is made very often.

Invariant: a call through what is here is the call that the generated stub makes, with the same
method, messages and metadata. Must never: reach below grpc.aio's public interface.

Counted in instructions, of the 223,000 that one call takes with a generated stub and a tuple for
its metadata: 12,000 go into looking a method up that is registered by its name, 9,000 into metadata
that can be added to. docs/performance.md has the rest.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, cast

import grpc.aio


class OnePair(grpc.aio.Metadata):
    """Metadata of one pair, which stays as it is.

    An interceptor that wants more makes its own of it: `Metadata(*it, ("name", "value"))`.
    """

    def __init__(self, key: str, value: str) -> None:
        # Not the base's: what it sets up is only needed to add to it, or to look for a key.
        self._pairs: Final = ((key, value),)

    def __len__(self) -> int:
        """One."""
        return 1

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """The pair."""
        return iter(self._pairs)

    @property
    def _metadata(self) -> Mapping[str, list[str]]:
        """What the base looks into, and would add to: nothing can be."""
        return MappingProxyType({key: [value] for key, value in self._pairs})


class _Unregistered:
    """As much of a channel as a generated stub asks of one, to begin with."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    def __getattr__(self, kind: str) -> Callable[..., Any]:
        """`unary_unary` and the other kinds of methods."""
        make = getattr(self._channel, kind)

        def unregistered(*args: object, **options: object) -> Any:  # noqa: ANN401 - as the channel's
            options.pop("_registered_method", None)
            return make(*args, **options)

        return unregistered


def unregistered(channel: grpc.aio.Channel) -> grpc.aio.Channel:
    """A channel to make a generated stub with, whose methods are then not registered by name.

    Good for nothing else: whoever opened the channel itself closes it.
    """
    return cast("grpc.aio.Channel", _Unregistered(channel))
