"""deploy/Dockerfile, read: its stages and their instructions.

Invariant: an instruction is told as the builder would take it, its continuation lines joined and
its comments gone. Must never: be taken for a builder; what the instructions do is seen elsewhere.
"""

import json
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction: `COPY`, and what follows it."""

    name: str
    text: str

    @property
    def flags(self) -> list[str]:
        """What begins with two dashes, before everything else."""
        words = self.text.split()
        return words[: next((i for i, it in enumerate(words) if not it.startswith("--")), None)]

    @property
    def words(self) -> list[str]:
        """The words behind the flags."""
        return self.text.split()[len(self.flags) :]


def instructions(text: str) -> list[Instruction]:
    """Every instruction, in order."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = [line.split(None, 1) for line in joined.splitlines()]
    return [Instruction(name=name, text=rest) for name, rest in found]


def last_stage(found: list[Instruction]) -> list[Instruction]:
    """The instructions of the image that results."""
    begins = max(index for index, it in enumerate(found) if it.name == "FROM")
    return found[begins:]


def exec_form(text: str) -> list[str]:
    """The JSON list of a CMD."""
    command = json.loads(text)
    assert isinstance(command, list)
    return [str(it) for it in command]


def environment(found: list[Instruction]) -> dict[str, str]:
    """What its ENV instructions set."""
    return dict(word.split("=", 1) for it in found if it.name == "ENV" for word in it.words)


def locked(path: Path) -> dict[str, tuple[str, ...]]:
    """What a lock names, `name==version` and its marker, each with its hashes."""
    found: dict[str, list[str]] = {}
    pin = ""
    for line in path.read_text().splitlines():
        word = line.strip().removesuffix("\\").strip()
        if word.startswith("--hash="):
            found[pin].append(word)
        elif word and not word.startswith("#"):
            pin = word.partition(" ;")[0]
            found[pin] = []
    return {name: tuple(hashes) for name, hashes in found.items()}
