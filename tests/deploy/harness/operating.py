"""docs/operating.md, read: the tables, the commands and the names in it.

Invariant: what stands in backticks or in a block of bash is taken at its word.
"""

import re
import shlex
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]
OPERATING: Final = ROOT / "docs" / "operating.md"
# A command of ours with nothing after it that belongs to the shell.
_SHELL: Final = {"&", "&&", ";", "|", ">"}


def text() -> str:
    """All of it."""
    return OPERATING.read_text()


def blocks(of: str) -> list[str]:
    """The blocks of bash, without their indent."""
    found = re.findall(r"^( *)```bash\n(.*?)^ *```$", of, re.MULTILINE | re.DOTALL)
    return [
        "\n".join(line.removeprefix(indent) for line in it.splitlines()) for indent, it in found
    ]


def spans(of: str) -> list[str]:
    """What stands in single backticks."""
    without = re.sub(r"^ *```bash\n.*?^ *```$", "", of, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", without)


def commands(of: str, program: str) -> list[list[str]]:
    """The arguments of every call of a program."""
    lines = [line for it in blocks(of) for line in it.replace("\\\n", " ").splitlines()]
    found = [shlex.split(it) for it in (*lines, *spans(of)) if it.startswith(f"{program} ")]
    return [
        words[1 : next((i for i, word in enumerate(words) if word in _SHELL), None)]
        for words in found
    ]


def events(of: str) -> set[str]:
    """The log events that the table of alerts says what to do about."""
    table = of.partition("| event | what it means |")[2].partition("\n\n")[0]
    rows = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| ")]
    return {span for row in rows for span in spans(row)}


def section(of: str, title: str) -> str:
    """A section, down to the next heading of whatever depth."""
    found = of.partition(f"# {title}\n")[2]
    assert found, f"there is no section {title}"
    return re.split(r"^#+ ", found, maxsplit=1, flags=re.MULTILINE)[0]
