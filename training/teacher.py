"""A teacher's folder -> what it is, and what it says about the training rows.

Refused if it may have learned from our held-out rows. What its base has seen, its soft labels may pass on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import ModelError
from pipeline.model_folder import PROVENANCE, check_hashes, hash_file, read_json

from .contamination import find_contamination
from .data import Example
from .rows import Rows


def ask_teacher(folder: Path, rows: Sequence[Example]) -> np.ndarray:
    """Return the probabilities of the model in ``folder``, a run or an exported one, on ``rows``: float (n, 3).

    Raises:
        ModelError: the folder holds no model.
    """
    from .predict import load_scorer

    return load_scorer(folder)(rows)


def describe_teacher(folder: Path, rows: Rows) -> dict[str, Any]:
    """Return {"sha256", "base", "contamination"} of the teacher in ``folder``.

    ``sha256`` is that of its provenance.json, which seals every other file. ``contamination`` is what it records, of
    its own teacher too, or, where it records none, what is known of its base.

    Raises:
        ModelError: a file is missing or changed, or :func:`check_teacher` refuses it.
    """
    if not (path := folder / PROVENANCE).is_file():
        raise ModelError(f"teacher {folder}: {PROVENANCE} is missing; expected a folder written by the training line")
    provenance = read_json(path)
    check_teacher(folder, provenance, rows.fingerprints)
    check_hashes(folder, provenance, ())
    base = provenance.get("base")
    if not isinstance(base, dict) or not isinstance(base.get("id"), str):
        raise ModelError(f"teacher {path}: base is {base}; expected its id")
    known = provenance.get("contamination")
    if not isinstance(known, list):
        known = find_contamination(base["id"], rows.examples, rows.splits)
    return {"sha256": hash_file(path), "base": base, "contamination": known}


def check_teacher(folder: Path, provenance: Mapping[str, Any], fingerprints: Mapping[str, str]) -> None:
    """Refuse a teacher unless it was split like us: else our held-out rows may have been among its training rows.

    ``fingerprints`` are those of our splits. Its soft labels would carry what it knows of test rows into the student;
    if it knew validation rows, the student's epoch and temperature would be chosen on them.

    Raises:
        ModelError: ``provenance`` names no validation or test rows, or others.
    """
    splits = provenance.get("splits")
    for name in ("test", "validation"):
        found = splits.get(name) if isinstance(splits, dict) else None
        if found != fingerprints[name]:
            held = f"{str(found)[:12]}..." if found else "not recorded"
            raise ModelError(
                f"teacher {folder}: its {name} rows are {held}; expected {fingerprints[name][:12]}..., ours, "
                "or it may have been trained on them"
            )
