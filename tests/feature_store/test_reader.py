"""Loading: types, choices of rows, columns and revisions, as_of, and every way in which a store can be broken."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from feature_store import NEUTRAL, FeatureStoreError, load_features, normalize_ticker
from feature_store.columns import COLUMNS
from pipeline.schema import FEATURE_TABLE
from tests.conftest import PROJECT
from tests.feature_store.made_store import (
    close_of,
    dated,
    list_tickers,
    make_store,
    read_manifest_lines,
    weekdays,
    write_file,
    write_manifest,
    write_moment,
)

TICKERS = list_tickers(8)
DATES = weekdays("2026-01-05", 6)
RESTATED = {DATES[1]: 3, DATES[4]: 2}
NUMBERS = [name for name in COLUMNS if name in NEUTRAL]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("store"), TICKERS, DATES, restated=RESTATED)


@pytest.fixture
def own_root(tmp_path: Path) -> Path:
    """A store that the test may break."""
    return make_store(tmp_path / "store", TICKERS, DATES, restated=RESTATED)


def read_plainly(root: Path, revisions: dict[date, int]) -> pd.DataFrame:
    """Return the rows as the README's plain pandas reads them."""
    paths = [root / dated(day, revision) for day, revision in revisions.items()]
    dates = ["session_date", "available_at"]
    return pd.concat(
        [pd.read_csv(path, parse_dates=dates, keep_default_na=False, na_values=[""]) for path in paths],
        ignore_index=True,
    )


def test_the_columns_are_those_of_the_schema() -> None:
    assert FEATURE_TABLE.names == COLUMNS
    numbers = {field.name for field in FEATURE_TABLE.fields if field.type in ("number", "integer")}
    assert NEUTRAL.keys() == numbers - {"schema_version"} | {"has_news"}
    assert {name: value for name, value in NEUTRAL.items() if value} == {"buzz": 1.0}


def test_every_cell_is_as_pandas_alone_reads_it(root: Path) -> None:
    frame = load_features(root=root, revision="first")
    plain = read_plainly(root, dict.fromkeys(DATES, 1))
    assert frame["ticker"].tolist() == plain["ticker"].tolist() == sorted(TICKERS) * len(DATES)
    assert {"NA", "NAN", "TRUE", "BRK.B"} <= set(frame["ticker"])
    for name in ("status", "model_revision"):
        assert frame[name].tolist() == plain[name].tolist()
    for name in ("session_date", "available_at"):
        assert (frame[name] == plain[name]).all()
    for name in [*NUMBERS, "schema_version"]:
        np.testing.assert_array_equal(frame[name], plain[name].astype("float64"))
    assert frame["sentiment_score"].isna().any()


def check_types(frame: pd.DataFrame, columns: tuple[str, ...] = COLUMNS) -> None:
    assert tuple(frame.columns) == columns
    assert frame["session_date"].dtype == "datetime64[us]"
    assert frame["available_at"].dtype == "datetime64[us, UTC]"
    assert frame["ticker"].dtype == pd.Series([], dtype="str").dtype
    assert {str(frame[name].dtype) for name in columns if name in (*NUMBERS, "schema_version")} == {"float64"}


def test_types_are_the_same_with_and_without_rows(root: Path) -> None:
    check_types(load_features(root=root))
    check_types(load_features(root=root, start="2030-01-01"))
    check_types(load_features(root=root, as_of="2020-01-01T00:00Z"))
    check_types(load_features(root=root, tickers=[]))
    key = ("session_date", "ticker", "available_at")
    check_types(load_features(root=root, start="2030-01-01", columns=["buzz"]), (*key, "buzz"))


def test_the_committed_store_can_be_read(tmp_path: Path) -> None:
    check_types(load_features(root=PROJECT / "feature_store"))
    (tmp_path / "manifest.csv").write_bytes(
        (PROJECT / "feature_store" / "manifest.csv").read_bytes().splitlines()[0] + b"\n"
    )
    assert load_features(root=tmp_path).empty
    assert load_features(root=tmp_path, tickers=["AAPL"], fill="neutral").empty


FIRST, LAST = DATES[0], DATES[-1]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, DATES),
        (DATES[2].isoformat(), None, DATES[2:]),
        (None, DATES[2], DATES[:3]),
        (pd.Timestamp(DATES[1]), pd.Timestamp(DATES[1]) + pd.Timedelta(hours=9), DATES[1:2]),
        (datetime(2026, 1, 1), "2026-01-06", DATES[:2]),  # noqa: DTZ001
        (FIRST - timedelta(days=90), LAST + timedelta(days=90), DATES),
        ("2026-01-10", "2026-01-11", []),  # a weekend
    ],
)
def test_start_and_end_are_both_inside(root: Path, start: object, end: object, expected: list[date]) -> None:
    found = load_features(start, end, root=root)["session_date"]  # type: ignore[arg-type]
    assert found.drop_duplicates().dt.date.tolist() == expected


def test_a_tilde_is_the_home_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root.parent))
    assert_frame_equal(load_features(root=f"~/{root.name}"), load_features(root=root))


@pytest.mark.parametrize("ticker", ["BRK.B", "BRK-B", "BRK/B", "brk-b", " brk.b "])
def test_a_ticker_may_be_written_in_any_form(root: Path, ticker: str) -> None:
    assert load_features(root=root, tickers=[ticker])["ticker"].tolist() == ["BRK.B"] * len(DATES)
    assert normalize_ticker(ticker) == "BRK.B"
    assert set(load_features(root=root, tickers=ticker)["ticker"]) == {"BRK.B"}


@pytest.mark.parametrize(
    ("text", "expected"), [("aapl", "AAPL"), ("0700", "0700"), ("NA", "NA"), ("bf-b", "BF.B"), ("rds/a", "RDS.A")]
)
def test_tickers_are_upper_case_with_a_dot(text: str, expected: str) -> None:
    assert normalize_ticker(text) == expected


@pytest.mark.parametrize(
    "text", ["", " ", "^GSPC", "TOOLONGX", "BRK.", "BRK..B", "BRK.B.C", "BRK_B", "A B", "ſ", None, 7]
)
def test_what_is_no_ticker_is_refused(text: object) -> None:
    with pytest.raises(FeatureStoreError, match=re.escape(f"ticker {text!r}: malformed, expected a form such as")):
        normalize_ticker(text)  # type: ignore[arg-type]


@settings(max_examples=50, deadline=None)
@given(st.from_regex(FEATURE_TABLE.fields[1].pattern, fullmatch=True), st.sampled_from(".-/"), st.booleans())
def test_every_ticker_of_the_schema_survives_any_form(ticker: str, mark: str, is_lower: bool) -> None:
    assert normalize_ticker(ticker) == ticker
    written = ticker.replace(".", mark)
    assert normalize_ticker(written.lower() if is_lower else written) == ticker


def test_columns_come_in_the_order_asked_for_behind_the_key(root: Path) -> None:
    key = ["session_date", "ticker", "available_at"]
    frame = load_features(root=root, columns=["buzz", "ticker", "has_news", "story_count", "buzz"])
    assert frame.columns.tolist() == [*key, "buzz", "has_news", "story_count"]
    whole = load_features(root=root)
    assert_frame_equal(frame.drop(columns="has_news"), whole[[*key, "buzz", "story_count"]])
    assert frame["has_news"].tolist() == (whole["status"] == "news").astype(float).tolist()
    assert load_features(root=root, columns="buzz").columns.tolist() == [*key, "buzz"]
    assert load_features(root=root, columns=[]).columns.tolist() == key


def test_neutral_leaves_no_number_missing_and_flags_news(root: Path) -> None:
    frame, plain = load_features(root=root, fill="neutral"), load_features(root=root)
    assert frame.columns.tolist() == [*COLUMNS, "has_news"]
    assert not frame.isna().any().any()
    for name in NUMBERS:
        assert (frame[name][plain[name].isna()] == NEUTRAL[name]).all()
        assert (frame[name][plain[name].notna()] == plain[name].dropna()).all()
    few = load_features(root=root, columns=["buzz"], fill="neutral")
    assert few.columns.tolist() == ["session_date", "ticker", "available_at", "buzz", "has_news"]
    assert few["buzz"].tolist() == frame["buzz"].tolist()


def test_latest_and_first_choose_the_revision(root: Path) -> None:
    first, latest = load_features(root=root, revision="first"), load_features(root=root)
    assert_frame_equal(latest.drop(columns="available_at"), load_latest(root), check_dtype=False)
    is_restated = first["session_date"].dt.date.isin(RESTATED)
    assert (first["available_at"] == latest["available_at"]).tolist() == (~is_restated).tolist()
    assert not first[is_restated].equals(latest[is_restated])


def load_latest(root: Path) -> pd.DataFrame:
    plain = read_plainly(root, {day: RESTATED.get(day, 1) for day in DATES})
    return plain.drop(columns="available_at").astype(dict.fromkeys([*NUMBERS, "schema_version"], "float64"))


@st.composite
def restated_stores(draw: st.DrawFn) -> tuple[dict[tuple[date, int], datetime], datetime]:
    """Return the moment of every revision of some sessions, sealed one after the other, and a moment to look from."""
    moments: dict[tuple[date, int], datetime] = {}
    first_at = close_of(DATES[0])
    for day in DATES[: draw(st.integers(1, 5))]:
        first_at = max(first_at, close_of(day)) + timedelta(hours=draw(st.integers(0, 60)))
        later = draw(st.lists(st.integers(1, 200), max_size=2, unique=True).map(sorted))
        moments |= {(day, n): first_at + timedelta(hours=hours) for n, hours in enumerate([0, *later], 1)}
    edges = st.sampled_from(sorted(moments.values()))
    as_of = draw(edges) + draw(st.sampled_from([timedelta(0), timedelta(seconds=-1), timedelta(hours=30)]))
    return moments, as_of


@settings(max_examples=40, deadline=None)
@given(restated_stores(), st.sampled_from(["latest", "first"]), st.integers(-12, 14))
def test_as_of_gives_what_the_store_gave_at_that_moment(
    store: tuple[dict[tuple[date, int], datetime], datetime], revision: str, offset_hours: int
) -> None:
    moments, as_of = store
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        counts = {day: max(n for other, n in moments if other == day) for day, _ in moments}
        make_store(root, ["AAPL", "NA"], sorted(counts), restated=counts, sealed_at=moments)
        then = as_of.astimezone(timezone(timedelta(hours=offset_hours)))
        found = load_features(root=root, as_of=then, revision=revision)
        assert (found["available_at"] <= as_of).all()
        was_known = [line for line in read_manifest_lines(root) if line["available_at"] <= write_moment(as_of)]
        write_manifest(root, was_known)
        assert_frame_equal(found, load_features(root=root, revision=revision))
    known = [day for (day, number), moment in moments.items() if moment <= as_of and number == 1]
    assert found["session_date"].dt.date.unique().tolist() == known


def test_as_of_may_be_text_with_a_zone(root: Path) -> None:
    frame = load_features(root=root, as_of=f"{DATES[2]} 17:00-05:00", revision="first")
    assert frame["session_date"].max() == pd.Timestamp(DATES[2])
    frame = load_features(root=root, as_of=f"{DATES[2]}T21:59:59Z", revision="first")
    assert frame["session_date"].max() == pd.Timestamp(DATES[1])


def test_columns_of_a_later_schema_version_are_empty_before_it(own_root: Path) -> None:
    lines = read_manifest_lines(own_root)
    for line in lines[-2:]:
        path = own_root / dated(date.fromisoformat(line["session_date"]), int(line["revision"]))
        header, *rows = path.read_text().splitlines()
        text = "\n".join([header + ",surprise_score,remark", *(f"{row},0.250000,fine" for row in rows)]) + "\n"
        line["features_sha256"] = write_file(path, text.encode())
    write_manifest(own_root, lines)
    frame = load_features(root=own_root, revision="first")
    assert frame.columns.tolist() == [*COLUMNS, "surprise_score", "remark"]
    is_new = frame["session_date"] == pd.Timestamp(DATES[-1])
    assert frame["surprise_score"][is_new].tolist() == [0.25] * len(TICKERS)
    assert frame["surprise_score"][~is_new].isna().all()
    assert set(frame["remark"][is_new]) == {"fine"}
    assert load_features(root=own_root, columns=["surprise_score"], fill="neutral")["surprise_score"].max() == 0.25
    with pytest.raises(FeatureStoreError, match="column surprise_score: in no feature file"):
        load_features(root=own_root, columns=["surprise_score"], end=DATES[2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": "2026-02-01", "end": "2026-01-01"}, "start 2026-02-01 lies after end 2026-01-01"),
        ({"start": "January"}, "start 'January': expected a day such as 2026-11-20"),
        ({"end": datetime(2026, 1, 1, tzinfo=UTC)}, "end datetime.datetime(2026, 1, 1, 0, 0, tzinfo="),
        ({"start": pd.NaT}, "start NaT: expected a day"),
        ({"start": 20260101}, "start 20260101: expected a day"),
        ({"as_of": "2026-01-06"}, "as_of '2026-01-06': expected a moment with a zone"),
        ({"as_of": datetime(2026, 1, 6)}, "expected a moment with a zone"),  # noqa: DTZ001
        ({"as_of": date(2026, 1, 6)}, "expected a moment with a zone"),
        ({"as_of": "soon"}, "as_of 'soon': expected a moment with a zone"),
        ({"tickers": ["AAPL!"]}, "ticker 'AAPL!': malformed"),
        ({"tickers": ["ZZZ", "NA", "YYY"]}, "ticker YYY, ZZZ: no row in the sessions 2026-01-05 to 2026-01-12 of "),
        ({"columns": ["sentiment", "buzz"]}, "column sentiment: in no feature file of "),
        ({"columns": ["sentiment"], "start": "2030-01-01"}, "column sentiment: in no feature file of "),
        ({"revision": "second"}, "revision 'second': expected 'latest' or 'first'"),
        ({"fill": "zero"}, "fill 'zero': expected None or 'neutral'"),
        ({"root": "http://example.com/store"}, "root 'http://example.com/store': expected a folder or an https://"),
        ({"root": "ftp://example.com/store"}, "root 'ftp://example.com/store': expected a folder or an https://"),
        ({"root": "https://"}, "root 'https://': expected a folder or an https://"),
        ({"root": "https://localhost:port/store"}, "root 'https://localhost:port/store': expected"),
        ({"root": "http://localhost:99999"}, "root 'http://localhost:99999': expected"),
        ({"root": "http://[::1/store"}, "root 'http://[::1/store': expected"),
        ({"root": "http://localhost/a store"}, "root 'http://localhost/a store': expected"),
        ({"root": "http://localhost/store\n"}, r"root 'http://localhost/store\n': expected"),
        ({"root": "http://localhost/é"}, "root 'http://localhost/é': expected"),
        ({"root": None}, "root None: expected a folder or an https://"),
        ({"root": "~nobody-of-this-name/store"}, "~nobody-of-this-name/store/manifest.csv: missing"),
        ({"columns": 5}, "columns: 5 is no text, expected one name or several"),
        ({"columns": ["buzz", 1]}, "columns: 1 is no text, expected one name or several"),
        ({"columns": [["buzz"]]}, "columns: ['buzz'] is no text, expected one name or several"),
        ({"tickers": 5}, "tickers: 5 is no text, expected one name or several"),
        ({"tickers": ["AAPL", float("nan")]}, "tickers: nan is no text, expected one name or several"),
    ],
    ids=str,
)
def test_a_wrong_request_is_one_clear_line(root: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(FeatureStoreError) as error:
        load_features(**({"root": root} | arguments))  # type: ignore[arg-type]
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def edit_manifest(root: Path, change: Callable[[list[dict[str, str]]], object]) -> None:
    lines = read_manifest_lines(root)
    change(lines)
    write_manifest(root, lines)


def replace_text(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def reseal(root: Path, change: Callable[[str], str]) -> None:
    """Change the first session's file and its SHA-256 with it: a store that seals wrong rows."""
    path = root / FIRST_FILE
    sha256 = write_file(path, change(path.read_text()).encode())
    edit_manifest(root, lambda lines: lines[0].update(features_sha256=sha256))


def refuse(root: Path, message: str) -> None:
    with pytest.raises(FeatureStoreError) as error:
        load_features(root=root)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


FIRST_FILE = dated(DATES[0])


@pytest.mark.parametrize(
    ("path", "damage", "message"),
    [
        ("manifest.csv", lambda path: path.unlink(), "manifest.csv: missing"),
        ("manifest.csv", lambda path: path.write_bytes(b""), "not the manifest of a feature store: begins with b''"),
        ("manifest.csv", lambda path: path.write_bytes(b"\xff\xfe\n"), "not the manifest of a feature store"),
        ("manifest.csv", lambda path: path.write_bytes(b"<!DOCTYPE html>\n"), "begins with b'<!DOCTYPE html"),
        ("manifest.csv", lambda path: path.write_bytes(path.read_bytes()[:-1]), "manifest.csv: cut short"),
        ("manifest.csv", lambda path: path.write_bytes(path.read_bytes()[:-90] + b"\n"), "is None ("),
        ("manifest.csv", lambda path: replace_text(path, ",revision", ",version"), "column revision is missing"),
        ("manifest.csv", lambda path: replace_text(path, "-05,", "-35,"), "line 2: session_date is '2026-01-35'"),
        (FIRST_FILE, lambda path: path.unlink(), f"{FIRST_FILE}: missing"),
        (FIRST_FILE, lambda path: replace_text(path, "BRK.B", "BRK.A"), f"{FIRST_FILE}: changed since it was sealed"),
    ],
)
def test_a_damaged_file_is_one_clear_line(
    own_root: Path, path: str, damage: Callable[[Path], object], message: str
) -> None:
    damage(own_root / path)
    refuse(own_root, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[3].update(features_sha256="../../x"), "line 5: features_sha256 is '../../x' (expected 64"),
        (
            lambda lines: lines[0].update(available_at="2026-01-05T22:00:00"),
            "line 2: available_at is '2026-01-05T22:00",
        ),
        (lambda lines: lines[0].update(revision="0"), "revision is '0' (expected 1 or more)"),
        (lambda lines: lines[0].update(revision="one"), "revision is 'one' ("),
        (lambda lines: lines[1].update(revision="2"), "session 2026-01-06 has revisions [2, 2, 3], expected 1, 2, ..."),
        (lambda lines: lines.pop(1), "session 2026-01-06 has revisions [2, 3], expected 1, 2, ... once each"),
        (lambda lines: lines.append(lines[0]), "session 2026-01-05 has revisions [1, 1]"),
        (
            lambda lines: lines.pop(4),
            "a session between 2026-01-06 and 2026-01-08 is missing: one ends at 2026-01-06T21",
        ),
    ],
)
def test_a_wrong_manifest_is_one_clear_line(
    own_root: Path, change: Callable[[list[dict[str, str]]], object], message: str
) -> None:
    edit_manifest(own_root, change)
    refuse(own_root, message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("2026-01-05,AAAX", "2026-01-06,AAAX", "session_date is 2026-01-06T00:00:00, in manifest.csv it is 2026-01-05"),
        (
            "T22:00:00Z",
            "T22:00:01Z",
            "available_at is 2026-01-05T22:00:01+00:00, in manifest.csv it is 2026-01-05T2",
        ),
        ("2026-01-05,AAAX", ",AAAX", "column session_date is empty in row 0, expected a value"),
        ("2026-01-05,AAAX", "5 January,AAAX", "time data "),
        ("session_date", "day", "not a feature file: its header is 'day,ticker"),
        ("story_count,", "ticker,", "not a feature file: its header is 'session_date,ticker"),
        (",1,", ",one,", "could not convert string to float"),
        (",news,", ',"news,', "EOF inside string"),
    ],
)
def test_rows_that_cannot_be_are_one_clear_line(own_root: Path, old: str, new: str, message: str) -> None:
    reseal(own_root, lambda text: text.replace(old, new, 1))
    refuse(own_root, message)
    refuse(own_root, f"{own_root / FIRST_FILE}")


def test_a_session_without_tickers_has_no_rows(own_root: Path) -> None:
    reseal(own_root, lambda text: text.splitlines()[0] + "\n")
    check_types(load_features(root=own_root, end=DATES[0]))
    assert len(load_features(root=own_root)) == (len(DATES) - 1) * len(TICKERS)


def test_a_missing_session_outside_the_range_does_no_harm(own_root: Path) -> None:
    edit_manifest(own_root, lambda lines: lines.pop(4))
    assert len(load_features(root=own_root, end=DATES[1])) == 2 * len(TICKERS)
    assert len(load_features(root=own_root, start=DATES[3])) == 3 * len(TICKERS)


def test_a_changed_cut_off_setting_is_no_missing_session(own_root: Path) -> None:
    later = write_moment(close_of(DATES[2]) + timedelta(hours=3))
    edit_manifest(
        own_root,
        lambda lines: [line.update(opens_after=later) for line in lines if line["session_date"] == str(DATES[3])],
    )
    assert len(load_features(root=own_root)) == len(DATES) * len(TICKERS)


def test_the_order_of_the_manifest_does_not_matter(own_root: Path) -> None:
    before = load_features(root=own_root)
    edit_manifest(own_root, lambda lines: lines.reverse())
    assert_frame_equal(load_features(root=own_root), before)


def test_more_sessions_than_are_read_at_once(tmp_path: Path) -> None:
    dates = weekdays("2025-01-01", 150)
    make_store(tmp_path, ["AAPL", "NA"], dates)
    frame = load_features(root=tmp_path)
    assert frame["session_date"].dt.date.tolist() == [day for day in dates for _ in range(2)]
    assert frame.index.equals(pd.RangeIndex(300))


def test_reading_changes_nothing(own_root: Path) -> None:
    def fingerprint() -> dict[Path, str]:
        files = (path for path in own_root.rglob("*") if path.is_file())
        return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    before = fingerprint()
    load_features(root=own_root, cache=own_root / "cache")
    assert fingerprint() == before
