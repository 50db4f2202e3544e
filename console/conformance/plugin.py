"""The pytest plugin: `pytest --oms-participant payment=host:port`.

Invariant: where the option is not given this does nothing at all but offer it. It must never import
grpc, nor anything that does, before it is given: every pytest run of whoever has the project
installed comes through here.
"""

from typing import Final

import pytest

from console.conformance.knobs import GROUP, add_options, read_options

_DESTINATION: Final = "oms_participants"
_KINDS: Final = ("order", "payment", "delivery")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offers the options."""
    group = parser.getgroup("oms-participant", GROUP)
    group.addoption(
        "--oms-participant",
        action="append",
        dest=_DESTINATION,
        metavar="KIND=HOST:PORT",
        help="check the participant at this address; KIND is order, payment or delivery; may be "
        "given several times; without test paths nothing else is run",
    )
    add_options(group)


def pytest_configure(config: pytest.Config) -> None:
    """Wakes the kit, where it was asked for."""
    given: list[str] | None = config.getoption(_DESTINATION)
    if not given:
        return
    addresses = [_read(text) for text in given]
    knobs = read_options(config)
    # Only now: this is where grpc is imported.
    from console.conformance.examination import Examination  # noqa: PLC0415 - see above

    config.pluginmanager.register(Examination(config, addresses, knobs), "oms-examination")


def _read(text: str) -> tuple[str, str]:
    kind, equals, target = text.partition("=")
    if not equals or kind not in _KINDS or not target.rpartition(":")[2].isdecimal():
        raise pytest.UsageError(
            f"--oms-participant {text}: write KIND=HOST:PORT, where KIND is one of "
            f"{', '.join(_KINDS)}, for example payment=127.0.0.1:50053"
        )
    return kind, target
