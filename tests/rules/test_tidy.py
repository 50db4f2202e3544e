"""The style that a machine can check (CONTRIBUTING.md)."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
# A longer module or function says why on the line of its own that begins so.
REASON = re.compile(r"^\s*# Longer than (400|70) lines because ", re.MULTILINE)


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],  # noqa: S607 - git is wherever PATH says
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


WRITTEN = [path for path in tracked("*.py") if ROOT / "generated" not in path.parents]


@pytest.mark.parametrize("path", WRITTEN, ids=name_of)
def test_a_module_is_read_in_one_sitting(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MODULE_LINES_MAX or REASON.search(text)


@pytest.mark.parametrize("path", WRITTEN, ids=name_of)
def test_a_function_fits_on_a_screen(path: Path) -> None:
    text = path.read_text()
    lines = text.splitlines()
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
        and not REASON.search("\n".join(lines[node.lineno - 1 : node.end_lineno]))
    ]
    assert [] == long


# A test module is told by the names of its tests.
OURS = [path for path in WRITTEN if ROOT / "tests" not in path.parents]


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_a_module_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not tree.body or ast.get_docstring(tree), "write the module's docstring first"


VAGUE = frozenset(
    {"utils", "util", "common", "helpers", "helper", "manager", "impl", "base", "misc"}
)


def test_a_module_is_named_after_its_noun() -> None:
    assert [] == [name_of(path) for path in WRITTEN if path.stem in VAGUE]


FORBIDDEN = {
    # Split so that this file does not hold what it forbids.
    "a package registry": re.compile(
        "pypi" + r"\.org|registry\." + r"npmjs|deb" + r"\.debian|files\.python" + "hosted"
    ),
    "a path of one machine": re.compile(
        r"(?<![\w.])/(?:wo" + r"rk|ho" + r"me|ro" + r"ot|far" + r"m)/\w"
    ),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str) -> None:
    holding = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        holding += [f"{name_of(path)}: {hit[0]}" for hit in FORBIDDEN[what].finditer(text)]
    assert [] == holding
