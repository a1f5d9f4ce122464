"""The Ray engine on one small cluster for all tests, with the embedded model."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.archive import read_archive
from pipeline.backfill import Engine, run_backfill, score_locally
from pipeline.backfill_link import LinkJob, Memory
from pipeline.config import HOME
from pipeline.errors import EngineError
from pipeline.report import Report
from pipeline.score import OnnxScorer
from pipeline.store import FeatureStore
from tests.daily_line import COMPANIES

from .made_archive import COLUMNS, files_of, made_rows, made_sessions, open_backfill, write_csv

pytest.importorskip("ray")
from pipeline.backfill_ray import open_cluster, score_on_ray  # noqa: E402
from tests.sample import PLACES

SESSIONS = made_sessions(26)


@pytest.fixture(scope="module")
def scorer() -> OnnxScorer:
    return OnnxScorer(HOME / "default_model", threads=1)


@pytest.fixture(scope="module")
def cluster(scorer: OnnxScorer) -> Iterator[Engine]:
    """Start a cluster of two actors on this machine and return the engine on it."""
    with open_cluster(2, None):
        yield partial(score_on_ray, scorer=scorer, workers=2)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(tmp_path_factory.mktemp("archive") / "news.csv", made_rows(SESSIONS, silent=(0, 2, 25)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, archive: Path, scorer: OnnxScorer) -> dict[str, bytes]:
    """Return the files of the local engine's store."""
    store = tmp_path_factory.mktemp("local") / "store"
    run(store, archive, partial(score_locally, scorer=scorer), scorer)
    return files_of(store)


def run(store: Path, archive: Path, score: Engine, scorer: OnnxScorer, count: int = len(SESSIONS)) -> None:
    work = open_backfill(store, SESSIONS[:count], scorer.revision)
    report = Report("backfill", datetime(2026, 11, 20, tzinfo=UTC), scorer.revision, "")
    run_backfill(work, read_archive(archive, COLUMNS, UTC), score, report)


@pytest.mark.parametrize("block_bytes", [600, 2**20])
def test_both_engines_write_the_same_bytes_however_the_pairs_are_cut(
    tmp_path: Path,
    archive: Path,
    whole: dict[str, bytes],
    cluster: Engine,
    scorer: OnnxScorer,
    monkeypatch: pytest.MonkeyPatch,
    block_bytes: int,
) -> None:
    monkeypatch.setattr("pipeline.backfill_ray.BLOCK_BYTES", block_bytes)
    run(tmp_path / "store", archive, cluster, scorer)
    assert files_of(tmp_path / "store") == whole


def test_one_engine_goes_on_where_the_other_stopped(
    tmp_path: Path, archive: Path, whole: dict[str, bytes], cluster: Engine, scorer: OnnxScorer
) -> None:
    run(tmp_path / "store", archive, partial(score_locally, scorer=scorer), scorer, count=11)
    run(tmp_path / "store", archive, cluster, scorer)
    assert files_of(tmp_path / "store") == whole


def test_a_fault_on_a_worker_is_one_line(tmp_path: Path, cluster: Engine, scorer: OnnxScorer) -> None:
    work = open_backfill(tmp_path / "store", SESSIONS, scorer.revision)
    dedupe = replace(work.settings.dedupe, window_hours=float("nan"))
    work = replace(work, settings=replace(work.settings, dedupe=dedupe))
    report = Report("backfill", datetime(2026, 11, 20, tzinfo=UTC), scorer.revision, "")
    job = LinkJob(tmp_path, SESSIONS, COMPANIES, work.settings, Memory())
    with pytest.raises(EngineError) as caught:
        next(cluster(job, report))
    assert str(caught.value) == "a Ray worker failed: ValueError: cannot convert float NaN to integer"


def test_the_verb_is_quiet_on_ray(
    tmp_path: Path, archive: Path, cluster: Engine, capfd: pytest.CaptureFixture[str]
) -> None:
    universe = tmp_path / "tickers.csv"
    universe.write_text("ticker,company,aliases,exchange\n" + "".join(f"{c.ticker},{c.name},,\n" for c in COMPANIES))
    argv = ["backfill", str(archive), *PLACES, "--start", "2026-01-20", "--end", "2026-01-30", "--time-column", "time"]
    argv += ["--root", str(tmp_path / "store"), "--universe", str(universe), "--engine", "ray", "--workers", "2"]
    assert main(argv) == 0
    told = capfd.readouterr()
    assert "9 sealed now" in told.out
    assert told.err == ""
    assert FeatureStore(tmp_path / "store").verify() == []


def test_without_ray_the_engine_says_what_to_install(
    tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    argv = ["backfill", str(archive), *PLACES, "--start", "2026-01-20", "--end", "2026-01-30", "--time-column", "time"]
    assert main([*argv, "--root", str(tmp_path / "store"), "--engine", "ray"]) == 1
    error = capsys.readouterr().err
    assert "--engine ray needs Ray: pip install -r pipeline/requirements-backfill.txt" in error
    assert error.count("\n") == 1
