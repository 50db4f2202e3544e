"""The schemas that the revisions of a service make, one revision after the other.

Invariant: revisions are the files themselves, run by the product's own `migrate`; what they are not
told of, for example revisions that come later, is not there. Must never: compare anything.
"""

import ast
import hashlib
import importlib.util
import itertools
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alembic.script import ScriptDirectory

# Package of the revisions, and what the database is called.
SERVICES: Final[Mapping[str, str]] = {
    "orchestrator.migrations": "orchestrator",
    "order_svc.migrations": "order",
    "payment_svc.migrations": "payment",
    "payment_svc.sandbox.migrations": "gateway",
    "delivery_svc.migrations": "delivery",
}
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One revision of one service."""

    package: str
    revision: str
    before: str | None
    runs_since: str
    """The revision whose release is the oldest that still works beside it."""
    says_runs_since: bool
    path: Path

    def __str__(self) -> str:
        return f"{SERVICES.get(self.package, self.package)}-{self.revision}"

    @property
    def digest(self) -> str:
        """Of what it does: comments and the layout are no part of that."""
        return hashlib.sha256(ast.dump(ast.parse(self.path.read_text())).encode()).hexdigest()


def folder_of(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations)))


def revisions(package: str, folder: Path | None = None) -> Sequence[Revision]:
    """The revisions of a service, the first one first."""
    found = []
    for script in ScriptDirectory(str(folder or folder_of(package))).walk_revisions():
        before = script.down_revision
        assert before is None or isinstance(before, str), "one revision follows one"
        found.append(
            Revision(
                package=package,
                revision=script.revision,
                before=before,
                runs_since=getattr(script.module, "runs_since", script.revision),
                says_runs_since=hasattr(script.module, "runs_since"),
                path=Path(script.path),
            )
        )
    return found[::-1]


def as_of(revision: Revision, folder: Path) -> str:
    """A package with the revisions up to that one, as its release has them; `folder` is on the path
    of imports.
    """
    name = f"as_of_{next(_numbers)}"
    versions = folder / name / "versions"
    versions.mkdir(parents=True)
    (folder / name / "__init__.py").write_text("")
    for it in revisions(revision.package, revision.path.parents[1]):
        shutil.copy(it.path, versions)
        if it.revision == revision.revision:
            return name
    raise AssertionError(f"{revision} is not among them")
