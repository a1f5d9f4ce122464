"""A teacher's folder -> what it says about the training rows. Refused if it may have learned from our test rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.errors import ModelError
from pipeline.model_folder import PROVENANCE, read_json

from .data import Example


def ask_teacher(folder: Path, rows: Sequence[Example], fingerprints: Mapping[str, str]) -> np.ndarray:
    """Return the probabilities of the model in ``folder``, a run or an exported one, on ``rows``: float (n, 3).

    Raises:
        ModelError: the folder holds no model, or :func:`check_teacher` refuses it.
    """
    from .predict import load_scorer

    check_teacher(folder, fingerprints)
    return load_scorer(folder)(rows)


def check_teacher(folder: Path, fingerprints: Mapping[str, str]) -> None:
    """Refuse a teacher unless it was split like us: else our test rows may have been among its training rows.

    ``fingerprints`` are those of our splits. Its soft labels would carry what it knows of them into the student.

    Raises:
        ModelError: its provenance is missing, or names no test rows, or others.
    """
    path = folder / PROVENANCE
    if not path.is_file():
        raise ModelError(f"teacher {folder}: {PROVENANCE} is missing; expected a folder written by the training line")
    known = read_json(path).get("splits")
    found = known.get("test") if isinstance(known, dict) else None
    if found != fingerprints["test"]:
        held = f"{str(found)[:12]}..." if found else "not recorded"
        raise ModelError(
            f"teacher {folder}: its test rows are {held}; expected {fingerprints['test'][:12]}..., ours, "
            "or it may have been trained on them"
        )
