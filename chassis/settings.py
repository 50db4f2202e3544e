"""Settings: typed, in one place, from flags and the environment.

Invariant: the field `order_listen` is the flag `--order-listen` and the variable
`OMS_ORDER_LISTEN`; a flag wins over the environment, the environment over the default. An empty
variable counts as not set. Must never: print a password, whoever asks.
"""

import argparse
import difflib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal, NoReturn, TypeVar

from pydantic import AfterValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

ENV_PREFIX: Final = "OMS_"
EXIT_USAGE: Final = 2
# One letter missing or wrong is; another service's setting of the same kind is not quite.
_ALIKE: Final = 0.9

_SCHEME_PASSWORD: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*://[^\s:@/]*):\S*@")
_QUERY_PASSWORD: Final = re.compile(
    r"([?&][^=&\s]*(?:password|secret|token)[^=&\s]*=)[^&\s]*", re.IGNORECASE
)
_SECRET_NAME: Final = re.compile(r"password|secret|token|credential|_url$", re.IGNORECASE)
_HOST_PORT: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._\-]+):(\d{1,5})")
# The addresses that may follow these, with commas between them.
_ADDRESSES: Final = {
    "ipv4": re.compile(r"(?:\d{1,3}\.){3}\d{1,3}:\d{1,5}"),
    "ipv6": re.compile(r"\[[0-9A-Fa-f:.%]+\]:\d{1,5}"),
}
_NO_NAME: Final = re.compile(r"[,\s]")
# gRPC takes a port that there is not for another one: 99999 for 34463.
_NUMBER_AT_END: Final = re.compile(r":(-?\d*)$")
_PORT_MAX: Final = 65_535
_DATABASE_URL: Final = re.compile(r"sqlite:///.+|postgresql(?:\+\w+)?://\S+")

S = TypeVar("S", bound="Settings")


def redacted(url: str) -> str:
    """The text with every password in a URL replaced by `***`."""
    return _QUERY_PASSWORD.sub(r"\1***", _SCHEME_PASSWORD.sub(r"\1:***@", url))


def _host_port(value: str) -> str:
    found = _HOST_PORT.fullmatch(value)
    if found is None or int(found[1]) > _PORT_MAX:
        raise ValueError('must be host:port, for example "127.0.0.1:50051"')
    return value


def _target(value: str) -> str:
    scheme, _, rest = value.partition(":")
    address = _ADDRESSES.get(scheme)
    if address is not None:
        each = rest.lstrip("/").split(",")
        right = all(address.fullmatch(it) and _has_no_wrong_port(it) for it in each)
    else:
        # gRPC would look for a host of that name, for ever.
        right = not _NO_NAME.search(value) and _has_no_wrong_port(value)
    if not right:
        raise ValueError(
            'must be "host:port" with a port up to 65535, "dns:///host:port" for all that the name '
            "stands for, or "
            '"ipv4:127.0.0.1:50052,127.0.0.1:50062" for several addresses'
        )
    return value


def _has_no_wrong_port(address: str) -> bool:
    found = _NUMBER_AT_END.search(address)
    return found is None or (found[1].isdecimal() and 1 <= int(found[1]) <= _PORT_MAX)


def _database_url(value: str) -> str:
    if not _DATABASE_URL.fullmatch(value):
        raise ValueError(
            'must be "sqlite:///<path>" or "postgresql://<user>:<password>@<host>/<database>"'
        )
    return value


Listen = Annotated[str, AfterValidator(_host_port)]
"""Where a server listens: `host:port`; port 0 takes a free one."""

Target = Annotated[str, Field(min_length=1), AfterValidator(_target)]
"""What a client dials: `host:port`, `dns:///host:port`, `ipv4:address:port,address:port`, or any
other name as gRPC writes it."""

DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
"""`sqlite:///relative/path`, `sqlite:////absolute/path` or `postgresql://…`, the latter with
`?schema=NAME` where a service is to have a schema of its own in a database that it shares."""


class Settings(BaseSettings):
    """What every server can be told."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="How much is logged."
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="How it is logged: one JSON object a line, or for a person."
    )
    drain_grace_seconds: float = Field(
        default=10.0,
        ge=0,
        le=3_600,
        allow_inf_nan=False,
        description="How long calls under way may go on when the server is told to stop.",
    )
    message_bytes_max: int = Field(
        default=4 * 1024 * 1024,
        ge=1_024,
        le=2**31 - 1,
        description="The largest message that is taken; a larger one gets RESOURCE_EXHAUSTED.",
    )

    connection_age_seconds_max: float = Field(
        default=300.0,
        ge=1,
        le=86_400,
        allow_inf_nan=False,
        description="After how long a client is asked to connect anew, and so finds new replicas.",
    )

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        """What repr() and str() show: a URL without its password."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            yield name, redacted(value) if isinstance(value, str) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingDoc:
    """One setting, for --help and the README."""

    flag: str
    env: str
    default: str
    description: str


def describe(cls: type[Settings]) -> list[SettingDoc]:
    """Every setting of a class; what all servers share comes last."""
    return [
        SettingDoc(
            flag=_flag(name),
            env=_env(name),
            default=_default(field),
            description=field.description or "",
        )
        for name, field in _fields(cls).items()
    ]


def load(cls: type[S], argv: Sequence[str], *, program: str, description: str) -> S:
    """Reads the settings from `argv` (without the program's name) and the environment.

    Leaves the program: with code 0 after --help, with code 2 and one message on stderr where a flag
    is not known or a value is wrong.
    """
    for warning in misspelt(cls, os.environ):
        sys.stderr.write(f"{program}: {warning}\n")
    parser = _Parser(prog=program, description=description, allow_abbrev=False)
    for name, doc in zip(_fields(cls), describe(cls), strict=True):
        text = f"{doc.description} Environment: {doc.env}. Default: {doc.default or 'none'}"
        parser.add_argument(
            doc.flag,
            dest=name,
            default=argparse.SUPPRESS,
            metavar="VALUE",
            help=text.replace("%", "%%"),
        )
    given, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.error(_not_known(unknown[0]))
    try:
        return cls(**vars(given))
    except ValidationError as error:
        wrong = [_wrong(str(it["loc"][0]), it["msg"], it["input"]) for it in error.errors()]
        parser.error("; ".join(wrong))
    except SettingsError as error:
        # Not even JSON, where JSON is needed. It names the field, not the value.
        parser.error(str(error))


def misspelt(cls: type[Settings], variables: Iterable[str]) -> list[str]:
    """A sentence for each variable that is almost one of the settings, and none.

    One that is like none of them may be another service's, and nothing is said.
    """
    own = [doc.env for doc in describe(cls)]
    sentences = []
    for name in sorted(set(variables) - set(own)):
        close = difflib.get_close_matches(name, own, n=1, cutoff=_ALIKE)
        if name.startswith(ENV_PREFIX) and close:
            sentences.append(f"{name} is not a setting; did you mean {close[0]}?")
    return sentences


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage of every flag there is."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: {message} (--help lists the settings)\n")


def _fields(cls: type[Settings]) -> dict[str, FieldInfo]:
    own = {name: it for name, it in cls.model_fields.items() if name not in Settings.model_fields}
    return own | cls.model_fields


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _env(name: str) -> str:
    return ENV_PREFIX + name.upper()


def _default(field: FieldInfo) -> str:
    default: object = field.get_default(call_default_factory=True)
    return "" if default is None or default is PydanticUndefined else redacted(str(default))


def _not_known(argument: str) -> str:
    # What follows the name may be a secret, meant for a flag that exists.
    if argument.startswith("-"):
        return f"there is no flag {argument.partition('=')[0]}"
    return "there is a value that belongs to no flag"


def _wrong(name: str, message: str, value: object) -> str:
    expected = message.removeprefix("Value error, ").removeprefix("Input ")
    told = "" if _SECRET_NAME.search(name) else f", not {redacted(str(value))[:100]!r}"
    return f"{_flag(name)} ({_env(name)}) {expected}{told}"
