"""The examination: which promises are looked at, and what is told of each.

Invariant: one promise of one participant is one item and one line. A run in which a promise could
not be looked at never passes. It must never run anything else where no test paths were given.
"""

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import pytest

from console.conformance.deliveries import DELIVERY
from console.conformance.kind import Kind
from console.conformance.knobs import Knobs
from console.conformance.orders import ORDER
from console.conformance.participant import NotThere, Participant
from console.conformance.payments import PAYMENT
from console.conformance.promise import Blocked, Broken, Lacking, Promise
from console.conformance.promises.catalogue import PROMISES

if TYPE_CHECKING:
    # pytest has no public name for it.
    from _pytest._code.code import TerminalRepr

KINDS: Final = {kind.name: kind for kind in (ORDER, PAYMENT, DELIVERY)}

# What becomes of a promise, and the colour of its line.
_COLOURS: Final = {
    "kept": "green",
    "BROKEN": "red",
    "unchecked": "red",
    "advice": "yellow",
    "skipped": "yellow",
}
_TOLD_WIDTH: Final = 11
_NAME_WIDTH: Final = 26

# What an item tells its report, and so the lines, JUnit's XML and whoever runs it elsewhere.
_PROMISE: Final = "oms_promise"
_BLOCKED: Final = "oms_unchecked"
_ADVICE: Final = "oms_advice"


class Unreachable(pytest.Collector.CollectError):
    """There is no participant to look at."""


class Examined(pytest.Collector):
    """One participant: the promises that its kind makes."""

    def __init__(self, *, kind: Kind, target: str, knobs: Knobs, **rest: object) -> None:
        super().__init__(**rest)  # type: ignore[arg-type] # pytest's own arguments, handed on
        self._kind = kind
        self._target = target
        self._knobs = knobs
        self._participant: Participant | None = None

    @property
    def participant(self) -> Participant:
        """The participant, while its promises are looked at."""
        assert self._participant is not None, "pytest sets a collector up before its items"
        return self._participant

    def collect(self) -> Iterator["Looked"]:
        """The promises, once it is certain that there is somebody to keep them."""
        if not self.config.option.collectonly:
            self._open().close()
        for promise in PROMISES:
            if self._kind.name in promise.kinds:
                yield Looked.from_parent(self, name=promise.name, promise=promise)

    def setup(self) -> None:
        """Connects."""
        self._participant = self._open()

    def teardown(self) -> None:
        """Lets go."""
        if self._participant is not None:
            self._participant.close()

    def _open(self) -> Participant:
        participant = Participant(self._kind, self._target, self._knobs)
        try:
            participant.introduce()
        except NotThere as error:
            participant.close()
            raise Unreachable(str(error)) from None
        return participant


class Looked(pytest.Item):
    """One promise of one participant."""

    def __init__(self, *, promise: Promise, **rest: object) -> None:
        super().__init__(**rest)  # type: ignore[arg-type] # pytest's own arguments, handed on
        self.promise = promise

    @property
    def examined(self) -> Examined:
        """Whose promise it is."""
        assert isinstance(self.parent, Examined), "it is made by one"
        return self.parent

    def runtest(self) -> None:
        """Looks. What is no matter of this promise skips it."""
        try:
            self.promise.check(self.examined.participant)
        except (Lacking, Blocked) as error:
            if isinstance(error, Blocked):
                self.user_properties.append((_BLOCKED, str(error)))
            pytest.skip(str(error))
        finally:
            self.examined.participant.tidy()

    def repr_failure(
        self,
        excinfo: pytest.ExceptionInfo[BaseException],
        style: Literal["short", "long", "native"] | None = None,  # type: ignore[override] # fewer
    ) -> "str | TerminalRepr":
        """What was seen, what the promise is for, and how to mend it."""
        if not isinstance(excinfo.value, Broken):
            return super().repr_failure(excinfo, style)
        return "\n".join(
            (
                str(excinfo.value),
                f"  promise: {self.promise.says}",
                f"  means:   {self.promise.means}",
                f"  mend:    {self.promise.mend}",
            )
        )

    def reportinfo(self) -> tuple[Path, None, str]:
        """How the failure's headline names it."""
        return self.path, None, f"{self.examined.name} {self.promise.name}"


class Examination:
    """The part of the plugin that is awake."""

    def __init__(
        self, config: pytest.Config, addresses: Sequence[tuple[str, str]], knobs: Knobs
    ) -> None:
        self._config = config
        self._addresses = addresses
        self._knobs = knobs
        self._promises = {promise.name: promise for promise in PROMISES}
        self._shown = ""
        self._unchecked = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Collects nothing but the kit, where nobody named a path."""
        if self._config.args_source is not pytest.Config.ArgsSource.ARGS:
            self._config.args = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> None:
        """Adds the promises: before -k is applied, so that it chooses among them."""
        for kind, target in dict.fromkeys(self._addresses):
            name = f"{kind}={target}"
            examined = Examined.from_parent(
                session,
                name=name,
                nodeid=name,
                kind=KINDS[kind],
                target=target,
                knobs=self._knobs,
            )
            report = session.ihook.pytest_make_collect_report(collector=examined)
            session.ihook.pytest_collectreport(report=report)
            items.extend(item for item in report.result or () if isinstance(item, pytest.Item))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Notes what the lines are made of; broken advice fails nothing."""
        report = yield
        if isinstance(item, Looked) and report.when == "call":
            report.user_properties.append((_PROMISE, item.promise.name))
            if item.promise.advice and report.failed:
                report.user_properties.append((_ADVICE, str(report.longrepr)))
                report.outcome = "passed"
                report.longrepr = None
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.CollectReport | pytest.TestReport
    ) -> tuple[str, str, str] | None:
        """No letter where there is a line of our own; a word for -v and for the summary."""
        if not isinstance(report, pytest.TestReport) or not (told := _told(report)):
            return None
        category = {"kept": "passed", "BROKEN": "failed"}.get(told, told)
        return category, "", told

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One line for each promise."""
        told = _told(report)
        self._unchecked |= told == "unchecked"
        terminal: pytest.TerminalReporter | None = self._config.pluginmanager.get_plugin(
            "terminalreporter"
        )
        if not told or terminal is None or self._config.get_verbosity() > 0:
            return
        properties = dict(report.user_properties)
        name = str(properties[_PROMISE])
        participant = report.nodeid.removesuffix(f"::{name}")
        if participant != self._shown:
            self._shown = participant
            # Unless it was told to be quiet the terminal has just written the participant itself.
            terminal.write("\n" if terminal.showfspath else f"{participant}\n")
        terminal.write(f"  {told:<{_TOLD_WIDTH}}", **{_COLOURS[told]: True})
        terminal.write(f"{name:<{_NAME_WIDTH}}{self._promises[name].says}\n")
        for more in (properties.get(_BLOCKED), properties.get(_ADVICE)):
            for line in str(more or "").splitlines():
                terminal.write(f"{'':{_TOLD_WIDTH + 2}}{line}\n")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Nothing is certain of a participant that could not be looked at."""
        if self._unchecked and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _told(report: pytest.TestReport) -> str:
    """What became of a promise; empty where the report is of something else."""
    properties = dict(report.user_properties)
    if report.when != "call" or _PROMISE not in properties:
        return ""
    if _ADVICE in properties:
        return "advice"
    if report.skipped:
        return "unchecked" if _BLOCKED in properties else "skipped"
    return "kept" if report.passed else "BROKEN"
