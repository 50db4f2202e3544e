"""The release after this one, as a program: `python -P next_release.py MODULE FLAGS…`.

It is this release's code with what a next one may bring: in each database a column and a table
more, and a second version of the order process, on which new processes begin. It knows the first
one, too. Must never: change anything else, or run in the tests' own process.
"""

import runpy
import shutil
import sys
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from alembic.script import ScriptDirectory

from chassis import migrations
from orchestrator import order_process
from orchestrator.saga.definition import Definition, Versions

# The table of each service that gets a column more.
TABLES: Final = {
    "orchestrator.migrations": "processes",
    "order_svc.migrations": "orders",
    "payment_svc.migrations": "payments",
    "payment_svc.sandbox.migrations": "ledger_entries",
    "delivery_svc.migrations": "deliveries",
}
REVISION: Final = "next"
REVISION_TEXT: Final = """
import sqlalchemy as sa
from alembic import op
revision = "{revision}"
down_revision = "{head}"
runs_since = "{head}"
def upgrade():
    op.add_column("{table}", sa.Column("of_the_next_release", sa.Text))
    op.create_table("next_{table}", sa.Column("next_id", sa.Text, primary_key=True))
"""


def next_order_process(current: Definition) -> Definition:
    """Takes the money only once the order is confirmed."""
    steps = {step.name: step for step in current.steps}
    names = (
        *("create_order", "process_payment"),
        *("confirm_order", "confirm_payment"),
        "process_delivery",
    )
    return replace(current, version=current.version + 1, steps=tuple(steps[name] for name in names))


def expanded(package: str) -> Path:
    """The revisions of a service, and one more."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(tempfile.mkdtemp(prefix="next-release-", dir=Path.cwd()))
    shutil.copytree(next(iter(spec.submodule_search_locations)), folder, dirs_exist_ok=True)
    head = ScriptDirectory(str(folder)).get_current_head()
    text = REVISION_TEXT.format(revision=REVISION, head=head, table=TABLES[package])
    (folder / "versions" / f"{REVISION}_it.py").write_text(text)
    return folder


def main() -> None:
    module, *flags = sys.argv[1:]
    migrations._folder_of = expanded
    known = order_process.ORDER_PROCESSES.known
    order_process.ORDER_PROCESSES = Versions(known=(*known, next_order_process(known[-1])))  # type: ignore[misc]
    sys.argv = [module, *flags]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
