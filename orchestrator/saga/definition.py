"""What a saga is: its steps in order, what undoes each, and how patient it is.

Invariant: a definition that was made is sound, so nobody checks it later; one that is in use is
never changed, it gets a new version. Must never: hold how anything is called; actions are names
here.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from orchestrator.saga.retry import RetryPolicy

STEP_RETRIES: Final = RetryPolicy(floor_seconds=0.05, cap_seconds=5.0)
UNDO_RETRIES: Final = RetryPolicy(floor_seconds=0.05, cap_seconds=300.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something to be done, and how it is undone.

    `undo` names the action that undoes it, `covered_by` the undo of an earlier step that undoes
    this one as well. With neither there is nothing to undo.
    """

    name: str
    undo: str | None = None
    covered_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How long to try, and how often."""

    attempt_timeout_seconds: float = 2.0
    step_retries: RetryPolicy = STEP_RETRIES
    undo_retries: RetryPolicy = UNDO_RETRIES
    compensation_horizon_seconds: float = 86_400.0
    """How long an undo is tried, from its first attempt on, before a person must look."""

    def __post_init__(self) -> None:
        assert self.attempt_timeout_seconds > 0, "an attempt needs time"
        assert self.compensation_horizon_seconds > 0, "an undo needs time"

    def retries(self, *, undo: bool) -> RetryPolicy:
        """How a step, or an undo, is tried again."""
        return self.undo_retries if undo else self.step_retries


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A saga: steps that are done in order, and undone in the opposite order."""

    name: str
    version: int
    steps: tuple[Step, ...]
    policy: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        assert self.name, "a definition has a name"
        assert self.version >= 1, "versions count from 1"
        assert self.steps, "a saga has steps"
        names = list(self.actions())
        assert all(names), "an action has a name"
        assert len(names) == len(set(names)), "a name means one action"
        undos: set[str] = set()
        for step in self.steps:
            assert step.undo is None or step.covered_by is None, "a step is undone in one way"
            assert step.covered_by is None or step.covered_by in undos, (
                "only the undo of an earlier step covers a step"
            )
            if step.undo is not None:
                undos.add(step.undo)

    @property
    def key(self) -> tuple[str, int]:
        """What a history's first event names."""
        return self.name, self.version

    def actions(self) -> Iterator[str]:
        """The names of all steps and undos."""
        for step in self.steps:
            yield step.name
            if step.undo is not None:
                yield step.undo

    def undos_of(self, steps: Collection[str]) -> tuple[str, ...]:
        """What undoes these steps: each undo once, newest first by the step it belongs to."""
        needed = {step.undo or step.covered_by for step in self.steps if step.name in steps}
        return tuple(
            step.undo
            for step in reversed(self.steps)
            if step.undo is not None and step.undo in needed
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """A saga as it was and as it is: all versions that are still run, oldest first.

    Processes begin on the last one; each runs to its end on the one that it began on.
    """

    known: tuple[Definition, ...]

    def __post_init__(self) -> None:
        assert self.known, "a saga has a version"
        assert len({definition.name for definition in self.known}) == 1, "it is one saga"
        numbers = [definition.version for definition in self.known]
        assert numbers == sorted(set(numbers)), "each version is there once, oldest first"

    @property
    def current(self) -> Definition:
        """What processes begin on."""
        return self.known[-1]

    @property
    def by_key(self) -> Mapping[tuple[str, int], Definition]:
        """By what a history's first event names."""
        return {definition.key: definition for definition in self.known}

    @property
    def newest(self) -> Mapping[str, int]:
        """The number of the newest version, by the saga's name."""
        return {self.current.name: self.current.version}

    def patient(self, policy: Policy) -> "Versions":
        """The same, each as patient as that."""
        return Versions(
            known=tuple(replace(definition, policy=policy) for definition in self.known)
        )
