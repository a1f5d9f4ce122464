"""A base model's name -> how much of the test rows it is KNOWN to have seen. Silence means nothing is known.

What is known, and where from, stands in contamination.toml. A test score on rows a base was trained on, or by which
its training was stopped, flatters the model.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline.text import fold_text

from .data import SOURCES, Example
from .readers import DataError
from .splits import Splits

KNOWN = Path(__file__).with_name("contamination.toml")
PHRASEBANK_LEVELS = {"all": 2264, "75": 1189, "66": 764, "50": 629}
"""Sentences of the complete Sentences_50Agree.txt by strictest agreement level, 4,846 in all (Malo et al. 2014)."""
_REQUIRED = {"base", "source", "evidence", "statement"}
_OPTIONAL = {"share", "slices", "split"}


def find_contamination(
    base: str, examples: Sequence[Example], splits: Splits, table: Path = KNOWN
) -> list[dict[str, Any]]:
    """Return one record per source whose test rows ``base`` is known to have been trained or selected on.

    ``test_row_count`` counts the test rows of the source (of the slices concerned), ``known_share`` in 0..1 is the
    share of them the base has seen, None where nobody stated it. With ``is_exact`` it is counted row by row, also by
    slice in ``slice_shares`` (slice -> [row count, share]); else it is the stated share of the whole set.
    [] says that nothing is known, not that the base is clean.

    Raises:
        DataError: the table cannot be read; the message names entry and key.
    """
    known = [entry for entry in load_known(table) if entry["base"].casefold() == base.casefold()]
    return [measure_contamination(entry, examples, splits) for entry in known]


def measure_contamination(entry: dict[str, Any], examples: Sequence[Example], splits: Splits) -> dict[str, Any]:
    """Return the record of one entry of the table; see :func:`find_contamination`."""
    wanted = entry.get("slices")
    test = [
        i for i in splits.test if examples[i].source == entry["source"] and (not wanted or examples[i].slice in wanted)
    ]
    seen = _SPLITS[entry["split"]](examples) if "split" in entry else None
    record = {
        "source": entry["source"],
        "test_row_count": len(test),
        "known_share": entry.get("share"),
        "is_exact": seen is not None,
        "evidence": entry["evidence"],
        "statement": entry["statement"],
        "slice_shares": {},
    }
    if seen is None or not test:
        return record | {"is_exact": False}
    slices = {
        name: [i for i in test if examples[i].slice == name] for name in dict.fromkeys(examples[i].slice for i in test)
    }
    return record | {
        "known_share": _share(test, seen),
        "slice_shares": {name: [len(rows), _share(rows, seen)] for name, rows in sorted(slices.items())},
    }


def replay_finbert(examples: Sequence[Example]) -> set[int] | None:
    """Return the PhraseBank rows FinBERT trained or selected on, by its authors' script, and rows that repeat them.

    The script shuffles line numbers alone (seed 0: a fifth is test, a tenth of the rest validation), so it needs the
    complete file in its own order; None where the rows at hand are not that file.
    """
    rows = [i for i, example in enumerate(examples) if example.source == "phrasebank"]
    levels = {level: sum(examples[i].slice == level for i in rows) for level in PHRASEBANK_LEVELS}
    if levels != PHRASEBANK_LEVELS:
        return None
    from sklearn.model_selection import train_test_split

    rest, _ = train_test_split(rows, test_size=0.2, random_state=0)
    texts = {
        fold_text(examples[i].text) for part in train_test_split(rest, test_size=0.1, random_state=0) for i in part
    }
    return {i for i in rows if fold_text(examples[i].text) in texts}


_SPLITS: dict[str, Callable[[Sequence[Example]], set[int] | None]] = {"finbert": replay_finbert}


def load_known(path: Path = KNOWN) -> list[dict[str, Any]]:
    """Read and check the table.

    Raises:
        DataError: one line naming file, entry, key, what was found and what was expected.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("known", [])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    for number, entry in enumerate(entries, 1):
        _check_entry(f"{path}: known entry {number}", entry)
    return entries


def _check_entry(place: str, entry: dict[str, Any]) -> None:
    missing, unknown = _REQUIRED - set(entry), set(entry) - _REQUIRED - _OPTIONAL
    if missing or unknown:
        found = f"lacks {', '.join(sorted(missing))}" if missing else f"has unknown key {', '.join(sorted(unknown))}"
        raise DataError(
            f"{place} {found}; expected {', '.join(sorted(_REQUIRED))}, perhaps {', '.join(sorted(_OPTIONAL))}"
        )
    if entry["source"] not in SOURCES:
        raise DataError(f"{place}: source is {entry['source']!r}; expected one of {', '.join(SOURCES)}")
    share = entry.get("share", 0)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise DataError(f"{place}: share is {share!r}; expected 0..1")
    if entry.get("split", "finbert") not in _SPLITS:
        raise DataError(f"{place}: split is {entry['split']!r}; expected one of {', '.join(_SPLITS)}")


def _share(rows: Sequence[int], seen: set[int]) -> float:
    return sum(i in seen for i in rows) / len(rows)
