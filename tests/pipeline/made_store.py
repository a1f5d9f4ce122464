"""A made-up store for the tests of store, verify and restate: sealed days, its files as bytes, and a pulled plug."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

from pipeline.store import FeatureStore, SessionToSeal

from .made_session import DAY, made_evidence, made_manifest_row, made_rows, made_session

THIRD_DAY = date(2026, 11, 24)
FEATURES, HEADLINES = "features/2026/2026-11-20.csv", "headlines/2026/2026-11-20.csv"
LINES = "state/lines/2026/2026-11-20.csv"


def capture_and_seal(store: FeatureStore, *days: date) -> None:
    """Seal the made-up session of each day."""
    for day in days:
        store.append_headlines(made_evidence(day))
        store.seal(made_rows(day), made_manifest_row(day))


def made_sealing(day: date = DAY, title: str = "Profit up") -> SessionToSeal:
    """Return the made-up session of a day; ``title`` is that of all its headlines."""
    return SessionToSeal(made_rows(day), made_evidence(day, title=title), made_manifest_row(day))


def restated_at(number: int, day: date = DAY) -> datetime:
    """Return when the restatement ``number`` of a day was made."""
    return made_session(day).cutoff_at + timedelta(days=30 + number)


def made_restatement(number: int = 2, day: date = DAY) -> SessionToSeal:
    """Return the made-up session of a day with a score that tells ``number``, 0 to 99."""
    moment, score = restated_at(number, day), number / 100 - 0.5
    return SessionToSeal(
        made_rows(day, available_at=moment, sentiment_score=[score, None, 0.0]),
        made_evidence(day),
        made_manifest_row(day, available_at=moment),
    )


def read_tree(root: Path) -> dict[str, bytes]:
    """Return every file below ``root`` that counts as data."""
    paths = (path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def edit(path: Path, old: bytes, new: bytes) -> None:
    """Replace the first ``old`` in a file, as a hand would."""
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


def fail_at(nth: int) -> Callable[[str, str], None]:
    """Return an os.replace that raises on its call number ``nth``, counted from 0."""
    replace, calls = os.replace, iter(range(10_000))

    def replace_or_fail(source: str, target: str) -> None:
        if next(calls) == nth:
            raise OSError("pulled the plug")
        replace(source, target)

    return replace_or_fail


KILL_AT = """
import os, signal, sys
name, calls = sys.argv[-2], int(sys.argv[-1])
original = getattr(os, name)

def count_down(*args):
    global calls
    calls -= 1
    os.kill(os.getpid(), signal.SIGKILL) if calls < 0 else original(*args)

setattr(os, name, count_down)
"""
"""Begins a script whose last two arguments name a function of os and how often it may be called before the kill."""
