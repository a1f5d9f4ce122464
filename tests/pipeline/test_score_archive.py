"""A backfill in parts: months scored apart from each other, and a store that is a plain backfill's to the byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from pipeline.__main__ import main
from pipeline.archive import read_archive
from pipeline.backfill import score_locally
from pipeline.errors import ConfigError
from pipeline.score_archive import list_months, list_pairs, pick_month, score_pairs
from pipeline.score_cache import CachedScorer
from pipeline.score_file import Scores, read_scores, write_scores
from pipeline.store import FeatureStore
from tests.daily_line import COMPANIES, WordScorer
from tests.sample import PLACES

from .made_archive import COLUMNS, Row, backfill, files_of, made_rows, made_sessions, write_csv

SESSIONS = made_sessions(26)
MONTHS = ["2026-01", "2026-02"]
"""The archive's months; of the one session in March it holds no headline."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = made_rows(SESSIONS, silent=(2, len(SESSIONS) - 2))
    return write_csv(tmp_path_factory.mktemp("archive") / "news.csv", rows)


@pytest.fixture(scope="module")
def universe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("universe") / "tickers.csv"
    path.write_text("ticker,company,aliases,exchange\n" + "".join(f"{c.ticker},{c.name},,\n" for c in COMPANIES))
    return path


@pytest.fixture(autouse=True)
def one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold still what a commit or another processor meanwhile would change in a manifest."""
    monkeypatch.setattr("pipeline.__main__.find_code_revision", lambda: "")
    monkeypatch.setattr("pipeline.__main__.find_cpu", lambda: "this one")


def options(verb: str, archive: Path, universe: Path, *more: object) -> list[str]:
    known = ["--start", "2026-01-20", "--end", f"{SESSIONS[-1].session_date}", "--universe", str(universe)]
    columns = [f"--{name}-column={name}" for name in ("time", "ticker", "source", "url")]
    return [verb, str(archive), *PLACES, *known, *columns, *map(str, more)]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, archive: Path, universe: Path) -> Path:
    """Return the folder of both months' score files, of the embedded model."""
    folder = tmp_path_factory.mktemp("scores")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.__main__.find_cpu", lambda: "this one")
        for month in MONTHS:
            assert main(options("score-archive", archive, universe, "--month", month, "--output", folder)) == 0
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, archive: Path, universe: Path) -> dict[str, bytes]:
    """Return the files of a plain backfill with the embedded model."""
    root = tmp_path_factory.mktemp("plain") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.__main__.find_code_revision", lambda: "")
        patch.setattr("pipeline.__main__.find_cpu", lambda: "this one")
        assert main(options("backfill", archive, universe, "--root", root)) == 0
    return files_of(root)


def copy_scores(scored: Path, folder: Path, months: Iterable[str] = MONTHS) -> Path:
    folder.mkdir()
    for month in months:
        (folder / f"scores-{month}.csv").write_bytes((scored / f"scores-{month}.csv").read_bytes())
    return folder


def add_other_pairs(folder: Path) -> None:
    origin, _ = read_scores(folder / "scores-2026-01.csv")
    write_scores(folder / "scores-2020-01.csv", origin, score_pairs([("Beans are up", "Apple")], WordScorer()))


def lose_a_month(folder: Path) -> None:
    (folder / "scores-2026-02.csv").unlink()


def keep_all(folder: Path) -> None:
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize(("change", "is_whole"), [(keep_all, True), (add_other_pairs, True), (lose_a_month, False)])
def test_a_backfill_with_scores_at_hand_writes_a_plain_one_s_bytes(
    tmp_path: Path,
    archive: Path,
    universe: Path,
    scored: Path,
    plain: dict[str, bytes],
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Path], None],
    is_whole: bool,
) -> None:
    folder = copy_scores(scored, tmp_path / "scores")
    change(folder)
    argv = options("backfill", archive, universe, "--root", tmp_path / "store", "--scores", folder)
    assert main(argv) == 0
    assert files_of(tmp_path / "store") == plain
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("scores: "))
    found, asked = (int(word.replace(",", "")) for word in line.split()[1:4:2])
    assert line == f"scores: {found:,} of {asked:,} pairs were at hand"
    assert (found == asked) is is_whole
    assert found > 0


def test_scores_at_hand_are_what_is_written(
    tmp_path: Path, archive: Path, universe: Path, scored: Path, plain: dict[str, bytes]
) -> None:
    folder = copy_scores(scored, tmp_path / "scores")
    origin, scores = read_scores(folder / "scores-2026-02.csv")
    write_scores(folder / "scores-2026-02.csv", origin, Scores(scores.keys, scores.probabilities[:, ::-1]))
    (folder / "scores-2026-01.csv").unlink()
    assert main(options("backfill", archive, universe, "--root", tmp_path / "store", "--scores", folder)) == 0
    changed = {name for name, content in files_of(tmp_path / "store").items() if content != plain[name]}
    assert {name for name in changed if name.startswith("headlines/") and "2026-02" in name}
    assert FeatureStore(tmp_path / "store").verify() == []


def test_every_processor_that_scored_is_in_the_manifest(
    tmp_path: Path, archive: Path, universe: Path, scored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.__main__.find_cpu", lambda: "another")
    assert main(options("backfill", archive, universe, "--root", tmp_path / "store", "--scores", scored)) == 0
    assert set(FeatureStore(tmp_path / "store").sealed()["cpu"]) == {"another; this one"}


def test_no_pair_that_a_backfill_asks_for_is_left_out(tmp_path: Path, archive: Path) -> None:
    parts = []
    for month in MONTHS:
        rows = read_archive(archive, COLUMNS, UTC)
        pairs, _ = list_pairs(rows, pick_month(SESSIONS, month), COMPANIES, 0.2)
        assert pairs == sorted(set(pairs))
        parts.append(score_pairs(pairs, WordScorer()))
    keys, first = np.unique(np.concatenate([part.keys for part in parts]), return_index=True)
    cached = CachedScorer(WordScorer(), Scores(keys, np.concatenate([part.probabilities for part in parts])[first]))
    summary = backfill(tmp_path / "store", archive, SESSIONS, lambda job, report: score_locally(job, report, cached))
    assert cached.found_count == cached.asked_count == summary.pair_count
    assert len(keys) < summary.pair_count


def test_scores_are_the_same_file_again(tmp_path: Path, archive: Path, universe: Path, scored: Path) -> None:
    argv = options("score-archive", archive, universe, "--month", "2026-02", "--output", tmp_path)
    assert main(argv) == 0
    assert (tmp_path / "scores-2026-02.csv").read_bytes() == (scored / "scores-2026-02.csv").read_bytes()


CLOSE = next(s.cutoff_at for s in SESSIONS if f"{s.session_date}" == "2026-01-30")
"""The close of January's last session, a Friday."""


def headline(moment: datetime) -> Row:
    return moment.isoformat(), f"Apple beats estimates at {moment:%d %H:%M}", "AAPL", "", ""


@pytest.mark.parametrize(
    ("moments", "months"),
    [
        ([CLOSE], ["2026-01"]),
        ([CLOSE + timedelta(seconds=1)], ["2026-02"]),
        ([CLOSE + timedelta(hours=20)], ["2026-02"]),
        ([CLOSE + timedelta(days=3), CLOSE], ["2026-01", "2026-02"]),
        ([CLOSE, CLOSE - timedelta(days=60)], ["2026-01"]),
    ],
    ids=["at the close", "after the close", "on the 31st, a Saturday", "both", "before the first session"],
)
def test_a_headline_is_of_the_month_of_its_session(
    tmp_path: Path, universe: Path, capsys: pytest.CaptureFixture[str], moments: list[datetime], months: list[str]
) -> None:
    path = write_csv(tmp_path / "a.csv", map(headline, moments))
    output = tmp_path / "output"
    output.write_text("earlier=1\n")
    assert main(options("list-months", path, universe, "--root", tmp_path / "store", "--output", output)) == 0
    assert json.loads(capsys.readouterr().out) == months
    assert output.read_text() == f"earlier=1\nmonths={json.dumps(months)}\n"
    assert not (tmp_path / "store").exists()
    found = [list_pairs(read_archive(path, COLUMNS, UTC), pick_month(SESSIONS, m), COMPANIES, 0.2)[0] for m in months]
    assert all(found)


def test_months_that_are_sealed_are_not_scored_again(
    tmp_path: Path, archive: Path, universe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "store"
    expected = {0: MONTHS, 3: MONTHS, 10: ["2026-02"], len(SESSIONS): []}
    for count, months in expected.items():
        if count:
            backfill(root, archive, SESSIONS[:count])
        assert main(options("list-months", archive, universe, "--root", root)) == 0
        assert json.loads(capsys.readouterr().out) == months


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["score-archive", "--output", "scores", "--month", "2026-13"], "--month 2026-13: expected a month such as"),
        (["score-archive", "--output", "scores", "--month", "2025-12"], "--month 2025-12: none of the sessions from"),
        (["score-archive", "--output", "scores", "--month", "2026-02", "--model", "absent"], "absent: no such folder"),
        (["score-archive", "--output", "scores", "--month", "2026-02", "--time-column="], "expected --time-column or"),
        (["score-archive", "--output", "scores", "--month", "2026-02", "--sha256", "f" * 64], "SHA-256 is "),
        (["list-months", "--root", "store", "--time-column=when"], "no column when; found time"),
        (["list-months", "--root", "store", "--end", "2126-01-01"], "--end 2126-01-01: the last session"),
        (["list-months", "--root", "store", "--start", "2027-01-01"], "--start 2027-01-01 is after --end"),
        (["list-months", "--root", "store", "--start", "2026-01-02", "--end", "2026-01-05"], "no headline of these"),
        (["backfill", "--root", "store", "--scores", "scores", "--engine", "ray"], "--scores scores: only --engine"),
        (["backfill", "--root", "store", "--scores", "damaged"], "scores-a.csv: damaged: its last line is not"),
    ],
)
def test_bad_options_are_one_line_and_write_nothing(
    tmp_path: Path,
    archive: Path,
    universe: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "scores-a.csv").write_text("key")
    assert main(options(more[0], archive, universe, *more[1:])) == 1
    told = capsys.readouterr()
    assert message in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["damaged"]


def test_scores_of_another_model_are_refused(
    tmp_path: Path, archive: Path, universe: Path, scored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy_scores(scored, tmp_path / "scores")
    origin, scores = read_scores(folder / "scores-2026-01.csv")
    write_scores(folder / "scores-2026-01.csv", replace(origin, model_revision="f" * 40), scores)
    argv = options("backfill", archive, universe, "--root", tmp_path / "store", "--scores", folder)
    assert main(argv) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {folder / 'scores-2026-01.csv'}: scores of another model: model_revision is fff")
    assert error.count("\n") == 1
    assert not (tmp_path / "store").exists()


def test_a_matrix_of_months_has_an_end() -> None:
    days = [date(2000 + i // 12, i % 12 + 1, 15) for i in range(257)]
    assert list_months(days[:256])[:13] == [f"2000-{i:02}" for i in range(1, 13)] + ["2001-01"]
    with pytest.raises(ConfigError) as caught:
        list_months(reversed(days))
    assert str(caught.value) == (
        "2000-01 to 2021-05: 257 months with headlines; expected at most 256: let --end lie before 2021-05, "
        "then go on from there"
    )


def test_an_empty_universe_is_none_given(tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = options("list-months", archive, Path(), "--root", tmp_path / "store")
    argv[argv.index("--universe") + 1] = ""
    assert main(argv) == 0
    assert json.loads(capsys.readouterr().out) == MONTHS
