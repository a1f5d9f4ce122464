"""The model that ships: within its size, undamaged, plain sentences right, and the demo the same every time."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.config import HOME
from pipeline.model_folder import GOLDEN_TOLERANCE, check_golden
from pipeline.score import OnnxScorer
from pipeline.text import LABELS

from .sample import REPLAY

MODEL = HOME / "default_model"


@pytest.fixture(scope="module")
def scorer() -> OnnxScorer:
    return OnnxScorer(MODEL)


def test_it_is_small_enough_to_ship() -> None:
    assert sum(path.stat().st_size for path in MODEL.rglob("*") if path.is_file()) <= 25_000_000


def test_its_golden_scores_hold_here(scorer: OnnxScorer) -> None:
    assert check_golden(scorer, scorer.folder, GOLDEN_TOLERANCE) <= GOLDEN_TOLERANCE


@pytest.mark.parametrize(
    ("headline", "company", "label"),
    [
        ("Northwind shares jump after profit beats estimates", "Northwind", "positive"),
        ("Northwind raises full-year outlook on strong demand", "Northwind", "positive"),
        ("Northwind wins $2 billion contract", "Northwind", "positive"),
        ("Northwind shares plunge after profit warning", "Northwind", "negative"),
        ("Northwind cuts its dividend as losses widen", "Northwind", "negative"),
        ("Northwind downgraded to Sell on weak sales", "Northwind", "negative"),
        ("Northwind to report third-quarter results on Thursday", "Northwind", "neutral"),
        ("Northwind to hold its annual meeting in May", "Northwind", "neutral"),
        ("Operating profit rose to EUR 12.3 mn from EUR 9.8 mn", "", "positive"),
        ("Net sales fell by 12 % from a year earlier", "", "negative"),
    ],
)
def test_plain_sentences_have_their_plain_sign(scorer: OnnxScorer, headline: str, company: str, label: str) -> None:
    assert LABELS[scorer.score([(headline, company)])[0].argmax()] == label


def test_the_demo_leaves_the_same_bytes_every_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        where = ["--store", str(tmp_path / name), "--report", str(tmp_path / f"{name}-report")]
        assert main(["daily", *REPLAY, *where]) == 0
    one, two = (sorted(path for path in (tmp_path / name).rglob("*") if path.is_file()) for name in ("one", "two"))
    assert [path.relative_to(tmp_path / "one") for path in one] == [path.relative_to(tmp_path / "two") for path in two]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    assert "40 of 51 tickers with news" in capsys.readouterr().out


def test_a_dry_run_shows_everything_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--store", str(tmp_path / "store"), "--report", str(tmp_path / "report")]
    assert main(["daily", "--dry-run", *REPLAY, *where]) == 0
    assert "session 2026-11-20" in capsys.readouterr().out
    assert not (tmp_path / "store").exists()
