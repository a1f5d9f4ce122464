"""The model folder in transformers.js under Node, as it is: the same probabilities as the daily line's."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.text import LABELS

from .conftest import HERE, MODEL, PAIRS

TOLERANCE = 1e-3


def score_with_node(node: str, folder: Path, batches: Sequence[Sequence[tuple[str, str]]]) -> np.ndarray:
    """Return the probabilities of all batches, one after the other, in LABELS order."""
    wanted = {"root": f"{folder.parent.resolve()}/", "name": folder.name, "batches": batches}
    done = subprocess.run(
        [node, "score.mjs"], input=json.dumps(wanted), cwd=HERE, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return np.array([[row[label] for label in LABELS] for row in json.loads(done.stdout)])


@pytest.mark.parametrize("size", [1, len(PAIRS)], ids=["alone", "padded"])
def test_it_gives_the_same_scores_under_node(node: str, expected: np.ndarray, size: int) -> None:
    batches = [PAIRS[start : start + size] for start in range(0, len(PAIRS), size)]
    assert np.abs(score_with_node(node, MODEL, batches) - expected).max() < TOLERANCE
