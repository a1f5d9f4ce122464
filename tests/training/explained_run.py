"""A smoke run over the small data folder with hostile rows in it, and the page about it, for both tests of explain."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from training.readers import LocalFolder
from training.recipe import load_recipe

from .conftest import FIQA, FIQA_FILE, TWITTER

HOSTILE = (
    "</script></style><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> "
    "'quotes' \" & {{ 7 * 7 }} 😀 مرحبا بالعالم and a tail"
)
HOSTILE_TARGET = "Acme</bdi><svg onload=document.title='owned'> & Söhne 🏦"
PER_SOURCE = 200
"""More than any source has wrong rows, so that all of them stand on the page."""
SMOKE = load_recipe(Path(__file__).parents[2] / "training" / "recipes" / "smoke.toml")


@dataclass(frozen=True)
class Explained:
    """The data, the run trained on it, and its page."""

    data: LocalFolder
    folder: Path
    page: Path


def make_explained(mini_root: Path, place: Path) -> Explained:
    """Train and explain inside ``place``.

    One text stands in two test sets under all three labels, so at least two of its rows in each are wrong, and shown.
    """
    from training.explain import explain_run
    from training.train import train_recipe

    shutil.copytree(mini_root, place / "data")
    add_rows(place / "data", "twitter_financial_news/sent_valid.csv", [(HOSTILE, TWITTER[name]) for name in TWITTER])
    rows = [
        (str(900 + i), HOSTILE, HOSTILE_TARGET, "Corporate/<b>Risks</b>", FIQA[name], "post", "test")
        for i, name in enumerate(FIQA)
    ]
    add_rows(place / "data", FIQA_FILE, rows)
    data = LocalFolder(place / "data")
    folder = train_recipe(replace(SMOKE, name="hostile", train_limit=64, epochs=2), data, place / "runs")
    return Explained(data, folder, explain_run(folder, data, place / "page.html", PER_SOURCE))


def add_rows(root: Path, file: str, rows: Sequence[Sequence[str]]) -> None:
    """Append ``rows`` to one CSV under ``labelled``."""
    with (root / "labelled" / file).open("a", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)
