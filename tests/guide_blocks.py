"""The fenced blocks of the documentation: which are run, which are only read, and why.

Every block of `bash` or `python` on a page outside the sections "Reference" and "Results" is run, in order, unless
the paragraph before it says in bold type why it cannot be. A command that shall fail ends in `# exit code N`. A Python
block that begins with `# NAME.py` is a file of that name.
"""

import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MARKS = (
    "Needs a GPU",
    "Needs a key",
    "Needs a server",
    "Needs the network",
    "Runs until it is stopped",
    "Takes ten minutes",
)
NOT_RUN = ("Reference", "Results")
_BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_EXPECTED = re.compile(r"# exit code (\d+)")
_FILE = re.compile(r"# (\w+\.py)\n")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str
    mark: str
    """Why it is not run; "" if it is."""

    @property
    def file(self) -> str:
        """Name of the file that it is, or ""."""
        named = _FILE.match(self.text)
        return named.group(1) if named and self.language == "python" else ""


@dataclass(frozen=True)
class Command:
    """One command of a block of shell, its continuation lines joined."""

    text: str
    expected: int = 0

    @property
    def arguments(self) -> list[str]:
        """What `embodied-cf` is given, without redirections; empty for other commands."""
        words = shlex.split(self.text, comments=True)
        if "embodied-cf" not in words:
            return []
        rest = words[words.index("embodied-cf") + 1 :]
        return rest[: next((at for at, word in enumerate(rest) if re.match(r"[|&;]|\d?>", word)), len(rest))]


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page, named relative to the repository."""
    text = (ROOT / page).read_text("utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2], _mark(text[: found.start()]))
        for found in _BLOCK.finditer(text)
    ]


def _mark(before: str) -> str:
    paragraph = before.strip().rsplit("\n\n", 1)[-1]
    return next((mark for mark in MARKS if re.search(rf"\*\*{mark}[^*]*\*\*", paragraph, re.IGNORECASE)), "")


def commands(block: Block) -> list[Command]:
    """Return the commands of a block of shell."""
    joined = re.sub(r"\\\n\s*", "", block.text)
    lines = [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    wanted = [_EXPECTED.search(line) for line in lines]
    return [Command(line, int(found[1]) if found else 0) for line, found in zip(lines, wanted, strict=True)]


@cache
def guide_pages() -> tuple[str, ...]:
    """Return the pages whose commands are run, in the order of the navigation."""
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    kept = [entry for part in nav for title, entry in part.items() if title not in NOT_RUN]
    return tuple(f"docs/{page}" for entry in kept for page in _pages(entry))


def _pages(entry: str | list) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    return [page for part in entry for inner in part.values() for page in _pages(inner)]


def all_pages() -> list[str]:
    """Return README and every page of the documentation."""
    return ["README.md", *sorted(str(path.relative_to(ROOT)) for path in DOCS.rglob("*.md"))]
