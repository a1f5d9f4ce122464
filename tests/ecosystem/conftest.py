"""The pairs that every other library must score as the daily line does, and the folders it must score them from."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import HOME
from pipeline.score import OnnxScorer

MODEL = HOME / "default_model"
HERE = Path(__file__).parent
PAIRS = [
    ("Northwind falls, Contoso gains", "Northwind"),
    ("Northwind falls, Contoso gains", "Contoso"),
    ("Profit rises", ""),
    ("NORTHWIND CUTS OUTLOOK", "Northwind"),
    ("Contoso’s loss narrows to €12.5 mn, shares +4 % – analysts", "Contoso"),
    ("$CTSO calls printing 🚀🚀", "Contoso"),
    ("北風 raises guidance; Île-de-France unit sold", "Northwind Übersee AG"),
    ("Will Northwind miss?", "Northwind"),
    ("Contoso to hold its annual meeting in May at its headquarters, it said in a statement on Monday " * 2, "Contoso"),
    ("12,345.67 -0.4%", ""),
]
"""Ours to keep: two sides of one headline, no company, capitals, other scripts, an emoji, short and long."""


@pytest.fixture(scope="session")
def expected() -> np.ndarray:
    """What the daily line makes of PAIRS, float32 (n, 3) in LABELS order."""
    return OnnxScorer(MODEL).score(PAIRS)


@pytest.fixture(scope="session")
def node() -> str:
    """Where Node is, transformers.js beside the tests. Without Node they skip; where CI is set they fail instead."""
    found = shutil.which("node")
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("node is not installed: transformers.js is not tried")
    if not (HERE / "node_modules" / "@huggingface" / "transformers").is_dir():
        pytest.fail(f"transformers.js is not installed: run `npm ci --ignore-scripts` in {HERE.name}, or `make test`")
    return str(found)
