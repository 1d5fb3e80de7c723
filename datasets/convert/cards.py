"""Dataset card and licence, carried over from one format to the next."""

import re
from collections.abc import Mapping
from pathlib import Path

from embodied_cf.datasets.metadata import INFO

_LIMIT = 1 << 20
_FRONT = re.compile(r"\A---\s*\n(.*?)\n---\s*\n", re.DOTALL)
_LICENCE = re.compile(r"^license:[ \t]*[\"']?([^\s\"'#]+)", re.MULTILINE)
_NAMES = ("LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "CITATION.cff", "CITATIONS.bib", "CITATION.bib")
CARD = "README.md"


def licence_of(source: Path) -> str:
    """Return the licence that a dataset card names in its front matter, "" if it names none."""
    front = _FRONT.match(_read(source / CARD))
    found = _LICENCE.search(front[1]) if front else None
    return found[1] if found else ""


def declared_licence(directory: Path) -> str:
    """Return the licence in an RLDS dataset's dataset_info.json or card, "" if there is none."""
    from tensorflow_datasets.core import dataset_info

    info = dataset_info.read_from_json(str(directory / INFO))
    return str(info.redistribution_info.license) or licence_of(directory)


def card_files(source: Path, said: str, licence: str = "") -> Mapping[str, str]:
    """Return the files that go along: licence and citation as they are, and the card with `said` added to it.

    A source without a card gets one, with `licence` in its front matter if that is known.
    """
    kept = {name: _read(source / name) for name in _NAMES if (source / name).is_file()}
    card = _read(source / CARD) or (f"---\nlicense: {licence}\n---\n" if licence else "")
    return {**kept, CARD: f"{card.rstrip()}\n\n## Conversion\n\n{said}\n".lstrip()}


def _read(path: Path) -> str:
    if not path.is_file() or path.stat().st_size > _LIMIT:
        return ""
    return path.read_text(encoding="utf-8", errors="replace")
