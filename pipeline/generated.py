"""Which files of a feature store are generated, and so the only ones a run may commit. Names only; opens nothing."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

from .schema import FEATURE_TABLE, FEED_PATH, HEADLINE_TABLE, LINE_TABLE, MANIFEST_PATH, PACKAGE_PATH, PRUNED_PATH

PLACES = (FEATURE_TABLE.folder, HEADLINE_TABLE.folder, "state", MANIFEST_PATH, PACKAGE_PATH)
"""Files and folders below the root of a store that hold everything generated."""

_FOLDERS = "|".join(re.escape(table.folder) for table in (FEATURE_TABLE, HEADLINE_TABLE, LINE_TABLE))
_DATED = re.compile(rf"(?:{_FOLDERS})/(\d{{4}})/(\1-\d{{2}}-\d{{2}})(?:\.r([2-9]|[1-9]\d+))?\.csv")
_SINGLE = frozenset({FEED_PATH, PRUNED_PATH, MANIFEST_PATH, PACKAGE_PATH})


def is_generated(name: str) -> bool:
    """Say whether ``name``, a path below the root of a store, is one that only runs write."""
    return name in _SINGLE or read_key(name) is not None


def read_key(name: str) -> tuple[date, int] | None:
    """Return the session and revision of a dated file's ``name``; None for any other."""
    found = _DATED.fullmatch(name)
    if found is None:
        return None
    try:
        return date.fromisoformat(found[2]), int(found[3] or 1)
    except ValueError:
        return None


def list_generated(root: Path) -> list[str]:
    """Return the generated files below ``root``, sorted; links are left out, whatever they point to."""
    found = [
        path for place in PLACES for path in ([root / place] if (root / place).is_file() else (root / place).rglob("*"))
    ]
    names = [path.relative_to(root).as_posix() for path in found if path.is_file() and not path.is_symlink()]
    return sorted(name for name in names if is_generated(name))
