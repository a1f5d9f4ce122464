"""Pruning: evidence goes to the archive and nothing is lost on the way, wherever the run is stopped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from frictionless import Package

from feature_store import load_features
from pipeline import __main__ as pipeline_line
from pipeline.errors import ConfigError, StoreError
from pipeline.files import compute_sha256
from pipeline.generated import is_generated
from pipeline.prune import KEPT, MARGIN, find_last_date, list_prunable, prune
from pipeline.records import Feed
from pipeline.restate import restate
from pipeline.restatement import Restatement
from pipeline.run import LONG_MEMORY, run_daily
from pipeline.store import FeatureStore
from tests.sample import sample_settings

from ..conftest import PROJECT
from ..daily_line import COMPANIES, feed_document, new_report, open_line
from ..feed_server import Answer, FeedServer
from .made_session import DAY, NEXT_DAY, made_evidence, made_manifest_row, made_rows, made_session
from .made_store import FEATURES, HEADLINES, KILL_AT, THIRD_DAY, capture_and_seal, edit, made_restatement, read_tree

LATEST = date(2027, 5, 28)
NOW = datetime(2027, 6, 1, 12, 30, tzinfo=UTC)
LAST = date(2027, 1, 28)
RESTATED = HEADLINES.replace(".csv", ".r2.csv")
NEXT_HEADLINES = HEADLINES.replace(str(DAY), str(NEXT_DAY))
PRUNED = "state/pruned.csv"


pytestmark = pytest.mark.usefixtures("quick_disk")


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return make_store(tmp_path / "store")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def make_store(root: Path) -> FeatureStore:
    """Return a store of three sessions of November, the first restated, and one of the following May."""
    store = FeatureStore(root)
    capture_and_seal(store, DAY, NEXT_DAY, THIRD_DAY)
    store.restate(made_restatement(2))
    store.append_headlines(made_evidence(LATEST))
    store.seal(made_rows(LATEST), made_manifest_row(LATEST, opens_after=made_session(THIRD_DAY).cutoff_at))
    assert store.verify() == []
    return store


def prune_before(store: FeatureStore, archive: Path, before: date, now: datetime = NOW) -> None:
    prune(store, archive, list_prunable(store, before), now)


@pytest.fixture
def run_prune(store: FeatureStore, archive: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the verb on the store at NOW."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return NOW

    monkeypatch.setattr(pipeline_line, "datetime", Clock)

    def run(before: object, *options: str) -> int:
        argv = ["prune", "--before", str(before), "--archive", str(archive), "--store", str(store.root), *options]
        return pipeline_line.main(argv)

    return run


class Stopped(BaseException):
    """The end of a process, which nothing catches."""


@contextmanager
def stopped_at(step: int) -> Iterator[list[str]]:
    """Fail the os.replace or os.unlink of number ``step``, counted from 0; yield the names of those that were made."""
    made: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for name in ("replace", "unlink"):
            original = getattr(os, name)

            def count(*args: object, _original: Callable[..., None] = original, _name: str = name) -> None:
                if len(made) == step:
                    raise Stopped
                _original(*args)
                made.append(_name)

            patch.setattr(os, name, count)
        yield made


def test_pruning_moves_the_evidence_and_nothing_else(store: FeatureStore, archive: Path) -> None:
    before, evidence = read_tree(store.root), (HEADLINES, RESTATED, NEXT_HEADLINES)
    prune_before(store, archive, THIRD_DAY)
    after = read_tree(store.root)
    assert read_tree(archive) == {name: before[name] for name in evidence}
    assert {name for name in before if name not in after} == set(evidence)
    assert {name for name in after if after[name] != before.get(name)} == {PRUNED, "datapackage.json"}
    assert store.verify() == []
    assert all(is_generated(name) for name in after)


def test_the_record_says_what_went_when_and_by_which_checksum(store: FeatureStore, archive: Path) -> None:
    prune_before(store, archive, NEXT_DAY)
    assert (store.root / PRUNED).read_text().splitlines() == [
        "session_date,revision,headlines_sha256,pruned_at",
        *(
            f"2026-11-20,{revision},{compute_sha256((archive / name).read_bytes())},2027-06-01T12:30:00Z"
            for revision, name in ((1, HEADLINES), (2, RESTATED))
        ),
    ]


def test_features_are_read_as_before(store: FeatureStore, archive: Path) -> None:
    before = {revision: load_features(root=str(store.root), revision=revision) for revision in ("first", "latest")}
    prune_before(store, archive, LATEST)
    for revision, frame in before.items():
        pd.testing.assert_frame_equal(load_features(root=str(store.root), revision=revision), frame)
    assert len(store.history(LATEST, 30)) == 9


def test_the_data_package_leaves_out_what_was_pruned_and_stays_valid(store: FeatureStore, archive: Path) -> None:
    prune_before(store, archive, THIRD_DAY)
    package = Package(str(store.root / "datapackage.json"))
    listed = {resource.name: resource.paths for resource in package.resources}
    assert listed["headlines"] == [f"headlines/2026/{THIRD_DAY}.csv", f"headlines/2027/{LATEST}.csv"]
    assert len(listed["features"]) == 4
    assert listed["headlines_r2"] == []
    assert "pruned" in listed
    report = package.validate()
    assert report.valid, report.flatten(["message"])


def test_a_folder_that_pruning_empties_goes_with_it(store: FeatureStore, archive: Path) -> None:
    prune_before(store, archive, LATEST)
    assert sorted(path.name for path in (store.root / "headlines").iterdir()) == ["2027"]
    assert store.verify() == []


def test_pruning_twice_is_pruning_once_and_a_later_date_goes_on(store: FeatureStore, archive: Path) -> None:
    prune_before(store, archive, NEXT_DAY)
    once = read_tree(store.root)
    assert list_prunable(store, NEXT_DAY) == []
    prune_before(store, archive, NEXT_DAY, NOW + timedelta(days=1))
    assert read_tree(store.root) == once
    prune_before(store, archive, THIRD_DAY, NOW + timedelta(days=30))
    assert [line.split(",")[3] for line in (store.root / PRUNED).read_text().splitlines()[1:]] == [
        "2027-06-01T12:30:00Z", "2027-06-01T12:30:00Z", "2027-07-01T12:30:00Z",
    ]  # fmt: skip


def test_open_evidence_is_never_pruned(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "store")
    store.append_headlines(made_evidence(DAY))
    assert list_prunable(store, LATEST) == []


def test_what_comes_back_is_evidence_again(store: FeatureStore, archive: Path) -> None:
    evidence = store.read_headlines(NEXT_DAY)
    prune_before(store, archive, THIRD_DAY)
    shutil.copy(archive / NEXT_HEADLINES, store.root / NEXT_HEADLINES)
    assert store.verify() == []
    assert store.read_headlines(NEXT_DAY).equals(evidence)


def test_what_comes_back_must_be_what_was_sealed(store: FeatureStore, archive: Path) -> None:
    prune_before(store, archive, THIRD_DAY)
    shutil.copy(archive / NEXT_HEADLINES, store.root / NEXT_HEADLINES)
    edit(store.root / NEXT_HEADLINES, b"Profit", b"Profits")
    with pytest.raises(StoreError, match=f"{NEXT_HEADLINES}: changed since it was sealed"):
        store.read_headlines(NEXT_DAY)
    assert store.verify() == [f"{store.root / NEXT_HEADLINES}: line 2 (AAPL): changed since it was sealed"]


@pytest.mark.parametrize("read", [FeatureStore.read_headlines, lambda store, day: store.captured_ids(day, THIRD_DAY)])
def test_reading_pruned_evidence_is_refused_in_a_line_that_says_where_it_went(
    store: FeatureStore, archive: Path, read: Callable[[FeatureStore, date], object]
) -> None:
    prune_before(store, archive, THIRD_DAY)
    with pytest.raises(StoreError) as refusal:
        read(store, NEXT_DAY)
    assert str(refusal.value) == (
        f"{store.root / NEXT_HEADLINES}: pruned, moved to an archive on 2027-06-01; "
        "put it back from there to read what it says"
    )


def test_an_absence_that_no_record_explains_is_refused(store: FeatureStore, archive: Path) -> None:
    prune_before(store, archive, NEXT_DAY)
    (store.root / NEXT_HEADLINES).unlink()
    assert store.verify() == [f"{store.root / NEXT_HEADLINES}: missing, though its session is sealed; restore it"]
    (store.root / PRUNED).unlink()
    assert {
        f"{store.root / name}: missing, though its session is sealed; restore it" for name in (HEADLINES, RESTATED)
    } < set(store.verify())


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b"2026-11-20,2,", b"2026-11-20,3,", "line 3 (2026-11-20): revision 3 is not in manifest.csv"),
        (b"pruned_at", b"moved_at", "line 1: the header is not that of pruned"),
        (b"2027-06-01T", b"2027-06-31T", "line 2, column pruned_at: '2027-06-31T12:30:00Z' is no datetime"),
    ],
)
def test_a_record_that_was_edited_is_named(
    store: FeatureStore, archive: Path, old: bytes, new: bytes, problem: str
) -> None:
    prune_before(store, archive, NEXT_DAY)
    edit(store.root / PRUNED, old, new)
    assert any(line.startswith(f"{store.root / PRUNED}: {problem}") for line in store.verify())


def test_a_record_of_another_checksum_explains_nothing(store: FeatureStore, archive: Path) -> None:
    prune_before(store, archive, NEXT_DAY)
    sealed = compute_sha256((archive / HEADLINES).read_bytes())
    edit(store.root / PRUNED, sealed.encode(), b"0" * 64)
    assert store.verify() == [
        f"{store.root / PRUNED}: line 2 (2026-11-20): headlines_sha256 is not that of manifest.csv: "
        "one of the two was changed"
    ]


def test_features_that_are_missing_are_never_explained(store: FeatureStore, archive: Path) -> None:
    prune_before(store, archive, NEXT_DAY)
    (store.root / FEATURES).unlink()
    assert store.verify() == [f"{store.root / FEATURES}: missing, though its session is sealed; restore it"]


def test_wherever_pruning_stops_nothing_is_lost_and_the_next_run_finishes(tmp_path: Path) -> None:
    whole = make_store(tmp_path / "whole")
    evidence = {name: body for name, body in read_tree(whole.root).items() if name.startswith("headlines/2026")}
    prune_before(whole, tmp_path / "whole_archive", LATEST)
    steps = 0
    while True:
        store, archive = make_store(tmp_path / f"store{steps}"), tmp_path / f"archive{steps}"
        with stopped_at(steps) as made:
            try:
                prune_before(store, archive, LATEST)
                break
            except Stopped:
                pass  # what it leaves is looked at below
        kept = read_tree(archive) if archive.exists() else {}
        assert {name: (kept | read_tree(store.root)).get(name) for name in evidence} == evidence
        problems = [line for line in store.verify() if "datapackage.json: not what" not in line]
        assert problems == []
        prune_before(store, archive, LATEST)
        assert read_tree(store.root) == read_tree(whole.root)
        assert read_tree(archive) == evidence
        steps += 1
    assert made == ["replace"] * len(evidence) + ["replace"] * 2 + ["unlink"] * len(evidence)


KILLED = f"""{KILL_AT}
from datetime import date, datetime, timezone
from pathlib import Path
from pipeline.prune import list_prunable, prune
from pipeline.store import FeatureStore
store, now = FeatureStore(Path(sys.argv[1])), datetime(2027, 6, 1, 12, 30, tzinfo=timezone.utc)
prune(store, Path(sys.argv[2]), list_prunable(store, date(2027, 5, 28)), now)
"""


@pytest.mark.parametrize(("call", "done"), [("fsync", 0), ("replace", 3), ("unlink", 1)])
def test_a_killed_process_leaves_what_the_next_one_finishes(
    store: FeatureStore, archive: Path, tmp_path: Path, call: str, done: int
) -> None:
    evidence = {name: body for name, body in read_tree(store.root).items() if name.startswith("headlines/2026")}
    command = [sys.executable, "-c", KILLED, str(store.root), str(archive), call, str(done)]
    assert subprocess.run(command, cwd=PROJECT, check=False).returncode == -signal.SIGKILL
    prune_before(store, archive, LATEST)
    assert read_tree(archive) == evidence
    assert store.verify() == []


@pytest.mark.parametrize("place", ["", "archive", "../store/archive"])
def test_an_archive_within_the_store_is_refused(store: FeatureStore, place: str) -> None:
    before = read_tree(store.root)
    with pytest.raises(ConfigError, match="lies in the store"):
        prune_before(store, store.root / place, THIRD_DAY)
    assert read_tree(store.root) == before


def test_an_archive_that_leads_back_into_the_store_is_refused(store: FeatureStore, archive: Path) -> None:
    archive.mkdir()
    (archive / "headlines").symlink_to(store.root / "headlines")
    with pytest.raises(StoreError, match="is the store's own file"):
        prune_before(store, archive, THIRD_DAY)
    assert store.verify() == []


def test_an_archive_that_holds_something_else_is_refused_before_anything_is_written(
    store: FeatureStore, archive: Path
) -> None:
    (archive / NEXT_HEADLINES).parent.mkdir(parents=True)
    (archive / NEXT_HEADLINES).write_text("other")
    before = read_tree(store.root)
    with pytest.raises(StoreError, match=f"{NEXT_HEADLINES}: holds something else: SHA-256"):
        prune_before(store, archive, THIRD_DAY)
    assert read_tree(store.root) == before
    assert read_tree(archive) == {NEXT_HEADLINES: b"other"}


def test_evidence_that_was_edited_is_not_pruned(store: FeatureStore, archive: Path) -> None:
    edit(store.root / NEXT_HEADLINES, b"Profit", b"Profits")
    with pytest.raises(StoreError, match=f"{NEXT_HEADLINES}: changed since it was sealed"):
        prune_before(store, archive, THIRD_DAY)
    assert not archive.exists()
    assert not (store.root / PRUNED).exists()


def test_a_copy_that_does_not_read_back_keeps_the_original(
    store: FeatureStore, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_bytes = Path.read_bytes
    monkeypatch.setattr(
        Path, "read_bytes", lambda path: read_bytes(path)[:-1] if path.is_relative_to(archive) else read_bytes(path)
    )
    with pytest.raises(StoreError, match="does not read as it was written"):
        prune_before(store, archive, THIRD_DAY)
    monkeypatch.undo()
    assert (store.root / HEADLINES).exists()
    assert not (store.root / PRUNED).exists()


@pytest.mark.parametrize(
    ("sealed", "today", "look_back", "last"),
    [
        ({LATEST}, NOW.date(), timedelta(hours=192), LAST),
        ({DAY, NEXT_DAY}, NOW.date(), timedelta(hours=192), NEXT_DAY - KEPT),  # the line stands since November
        (set(), NOW.date(), timedelta(hours=192), NOW.date() - KEPT),
        ({LATEST}, NOW.date(), timedelta(days=200), LATEST - timedelta(days=200) - MARGIN),
        ({LATEST}, date(2027, 5, 1), timedelta(0), date(2027, 5, 1) - KEPT),
    ],
)
def test_what_the_line_may_look_back_on_stays(sealed: set[date], today: date, look_back: timedelta, last: date) -> None:
    assert find_last_date(sealed, today, look_back) == last
    assert KEPT > LONG_MEMORY > sample_settings().look_back


def test_a_date_too_near_is_refused_with_the_one_to_use(
    run_prune: Callable[..., int], store: FeatureStore, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_prune(LAST + timedelta(days=1)) == 1
    assert capsys.readouterr().err == (
        "error: --before 2027-01-29: the line still looks back on these headlines; the latest date is 2027-01-28\n"
    )
    assert not archive.exists()
    assert run_prune(LAST) == 0
    assert store.verify() == []


def test_the_verb_says_what_it_moved_and_a_dry_run_moves_nothing(
    run_prune: Callable[..., int], store: FeatureStore, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read_tree(store.root)
    assert run_prune(THIRD_DAY, "--dry-run") == 0
    assert capsys.readouterr().out == "would move 3 headlines files of sessions 2026-11-20 to 2026-11-23, 0.0 MB\n"
    assert read_tree(store.root) == before
    assert not archive.exists()
    assert run_prune(THIRD_DAY) == 0
    assert "moved 3 headlines files of sessions 2026-11-20 to 2026-11-23" in capsys.readouterr().out
    assert run_prune(THIRD_DAY) == 0
    assert "nothing to prune" in capsys.readouterr().out
    pipeline_line.main(["status", "--store", str(store.root)])
    assert "pruned: headlines of 2 sessions, up to 2026-11-23, lie in an archive" in capsys.readouterr().out


def test_the_report_of_a_pruned_session_says_where_its_evidence_went(
    run_prune: Callable[..., int], store: FeatureStore, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = ["report", "--session", str(NEXT_DAY), "--store", str(store.root)]
    assert pipeline_line.main(report) == 0
    shown = capsys.readouterr().out
    run_prune(THIRD_DAY)
    capsys.readouterr()
    assert pipeline_line.main(report) == 1
    path = store.root / NEXT_HEADLINES
    assert capsys.readouterr().err == (
        f"error: {path}: pruned, moved to an archive on 2027-06-01; put it back from there to read what it says\n"
    )
    shutil.copy(archive / NEXT_HEADLINES, path)
    assert pipeline_line.main(report) == 0
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize("day", [DAY, NEXT_DAY])
def test_restating_a_session_needs_its_evidence_and_what_it_looks_back_on(
    store: FeatureStore, archive: Path, day: date
) -> None:
    prune_before(store, archive, NEXT_DAY)
    before = read_tree(store.root)
    line = open_line(store.root, [], NOW)
    with pytest.raises(StoreError, match=f"{RESTATED}: pruned, moved to an archive"):
        restate(line, day, day, Restatement())
    assert read_tree(store.root) == before


def test_several_pruned_files_are_counted(store: FeatureStore, archive: Path) -> None:
    prune_before(store, archive, LATEST)
    with pytest.raises(StoreError, match=r"r2\.csv: pruned, .*, as were 2 files after it; put them back from there"):
        store.recent_headlines(NOW - timedelta(days=300))


def test_a_file_put_back_can_be_pruned_again_and_the_record_says_so(store: FeatureStore, archive: Path) -> None:
    prune_before(store, archive, NEXT_DAY)
    shutil.copy(archive / HEADLINES, store.root / HEADLINES)
    prune_before(store, archive, NEXT_DAY, NOW + timedelta(days=9))
    assert not (store.root / HEADLINES).exists()
    moments = [line[-20:] for line in (store.root / PRUNED).read_text().splitlines()[1:]]
    assert moments == ["2027-06-10T12:30:00Z", "2027-06-01T12:30:00Z"]
    assert store.verify() == []


def test_only_what_is_sealed_is_recorded_as_pruned(store: FeatureStore) -> None:
    with pytest.raises(StoreError, match="session 2026-11-20, revision 3 is not sealed"):
        store.prune([(DAY, 3)], NOW)
    assert not (store.root / PRUNED).exists()


def test_the_line_goes_on_as_if_nothing_had_been_pruned(tmp_path: Path) -> None:
    tuesday, close = date(2027, 6, 1), datetime(2027, 6, 1, 20, tzinfo=UTC)
    whole = make_store(tmp_path / "whole")
    shutil.copytree(whole.root, tmp_path / "pruned")
    pruned = FeatureStore(tmp_path / "pruned")
    prune_before(pruned, tmp_path / "archive", LAST)
    with FeedServer() as server:
        server.add("/wire", Answer(body=feed_document(("Apple beats estimates", close - timedelta(hours=2)))))
        for store in (whole, pruned):
            line = open_line(store.root, [], close + timedelta(minutes=30))
            feeds = [_feed(server.url("/wire"), company.ticker) for company in COMPANIES]
            run_daily(replace(line, feeds=tuple(feeds)), new_report())
            assert store.sealed_dates() >= {tuesday}
            assert store.verify() == []
    for folder in ("features", "headlines", "state/lines"):
        name = f"{folder}/2027/{tuesday}.csv"
        assert read_tree(pruned.root)[name] == read_tree(whole.root)[name]
    assert read_tree(pruned.root)["manifest.csv"] == read_tree(whole.root)["manifest.csv"]


def _feed(url: str, ticker: str) -> Feed:
    return Feed(f"wire:{ticker}", "Wire", url, ticker)
