"""The columns, their cells and their files: one form, checked, and safe in a spreadsheet."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cells import check_cell, escape_formula, format_cell, unescape_formula
from pipeline.errors import StoreError
from pipeline.schema import (
    FEATURE_TABLE,
    FEATURES,
    FEED_TABLE,
    HEADLINE_TABLE,
    LINE_TABLE,
    MANIFEST_TABLE,
    Field,
    Table,
    datapackage,
    encode_package,
)
from pipeline.tables import decode_table, encode_table, to_frame

from .made_session import DAY, NEXT_DAY, made_evidence, made_rows

TABLES = (FEATURE_TABLE, HEADLINE_TABLE, MANIFEST_TABLE, FEED_TABLE, LINE_TABLE)
NOTES = (Field("id", "integer", ""), Field("text", "string", "", is_required=False))
NOTE = Table("notes", "", NOTES, ("id",), ("id",))
HEADER = ",".join(FEATURE_TABLE.names)
ROW = "2026-11-20,AAPL,news,2026-11-20T21:10:00Z," + "a" * 40 + ",1,1,1,1,1,0,0,0.500000" + "," * 21


def field(kind: str, **limits: object) -> Field:
    return Field("value", kind, "", **limits)  # type: ignore[arg-type]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_column_is_described_once_and_keys_are_columns(table: Table) -> None:
    assert len(set(table.names)) == len(table.names)
    assert set(table.key) | set(table.order) <= set(table.names)
    assert all(described.description.endswith(".") for described in table.fields)
    assert {described.type for described in table.fields} <= {
        "string", "date", "datetime", "integer", "number", "boolean",
    }  # fmt: skip


def test_feature_columns_stand_in_the_order_that_readers_rely_on() -> None:
    names = FEATURE_TABLE.names
    assert names[:6] == ("session_date", "ticker", "status", "available_at", "model_revision", "schema_version")
    assert names[6:12] == (
        "headline_count", "story_count", "source_count", "positive_count", "neutral_count", "negative_count",
    )  # fmt: skip
    trailing = ("story_count", "sentiment_score", "positive_share", "negative_share")
    assert names[-9:] == ("buzz", *(f"{name}_{n}" for n in (5, 21) for name in trailing))
    assert len(names) == 34


@pytest.mark.parametrize(
    ("kind", "value", "cell"),
    [
        ("number", 0.1 + 0.2, "0.300000"),
        ("number", -0.0, "0.000000"),
        ("number", -0.0000004, "0.000000"),
        ("number", 1e-7, "0.000000"),
        ("number", 12345678.5, "12345678.500000"),
        ("number", 1, "1.000000"),
        ("number", np.float32(0.5), "0.500000"),
        ("number", float("nan"), ""),
        ("number", None, ""),
        ("integer", 3, "3"),
        ("integer", np.int64(3), "3"),
        ("integer", 3.0, "3"),
        ("integer", -0.0, "0"),
        ("integer", pd.NA, ""),
        ("boolean", True, "true"),
        ("boolean", np.bool_(False), "false"),
        ("date", date(2026, 11, 20), "2026-11-20"),
        ("date", "2026-11-20", "2026-11-20"),
        ("datetime", datetime(2026, 11, 20, 21, 0, 0, 999_999, UTC), "2026-11-20T21:00:00Z"),
        ("datetime", datetime(2026, 11, 20, 16, tzinfo=timezone(timedelta(hours=-5))), "2026-11-20T21:00:00Z"),
        ("datetime", pd.Timestamp("2026-11-20T21:00:00Z"), "2026-11-20T21:00:00Z"),
        ("datetime", pd.NaT, ""),
        ("string", "", ""),
        ("string", "plain", "plain"),
        ("string", "=1+1", "'=1+1"),
        ("string", "+1", "'+1"),
        ("string", "-1", "'-1"),
        ("string", "@SUM(A1)", "'@SUM(A1)"),
        ("string", "\tx", "'\tx"),
        ("string", "\rx", "'\rx"),
        ("string", " =1+1", "' =1+1"),
        ("string", "＝1+1", "'＝1+1"),
        ("string", "'=1+1", "''=1+1"),
        ("string", "'tis the season", "'tis the season"),
        ("string", "up - and away", "up - and away"),
    ],
)
def test_a_value_has_one_form_and_the_form_passes_its_own_check(kind: str, value: object, cell: str) -> None:
    assert format_cell(field(kind), value) == cell
    assert check_cell(field(kind, is_required=False), cell) == ""


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("number", float("inf")),
        ("number", "0.5"),
        ("number", True),
        ("integer", 3.5),
        ("integer", True),
        ("integer", "3"),
        ("boolean", "true"),
        ("boolean", 1),
        ("date", "20 November"),
        ("date", datetime(2026, 11, 20, tzinfo=UTC)),
        ("datetime", datetime(2026, 11, 20, 21)),  # noqa: DTZ001 - the missing zone is the point
        ("datetime", "2026-11-20T21:00:00Z"),
        ("string", 5),
        ("string", "\ud800"),
    ],
)
def test_a_value_of_another_type_is_refused(kind: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"expected|Invalid isoformat|surrogates"):
        format_cell(field(kind), value)


@pytest.mark.parametrize(
    ("described", "cell", "fault"),
    [
        (field("number", maximum=1), "1.500000", "1.500000 is above 1"),
        (field("number", minimum=-1), "-1.000001", "-1.000001 is below -1"),
        (field("number"), "0.5", "'0.5' is no number"),
        (field("number"), "-0.000000", "'-0.000000' is no number"),
        (field("number"), "nan", "'nan' is no number"),
        (field("number"), "01.000000", "'01.000000' is no number"),
        (field("integer", minimum=0), "-1", "-1 is below 0"),
        (field("integer"), "1.0", "'1.0' is no integer"),
        (field("integer"), "١", "'١' is no integer"),
        (field("boolean"), "True", "'True' is no boolean"),
        (field("date"), "2026-02-30", "'2026-02-30' is no date"),
        (field("date"), "20.11.2026", "'20.11.2026' is no date"),
        (field("datetime"), "2026-11-20 21:00:00", "'2026-11-20 21:00:00' is no datetime"),
        (field("datetime"), "2026-11-20T25:00:00Z", "'2026-11-20T25:00:00Z' is no datetime"),
        (field("string"), "", "empty, a value is required"),
        (field("string", enum=("a", "b")), "c", "'c' is none of a, b"),
        (field("string", pattern="[A-Z]+"), "Aa", "'Aa' does not match [A-Z]+"),
        (field("string"), "=1+1", "'=1+1' would run as a formula in a spreadsheet"),
    ],
)
def test_a_cell_outside_its_column_is_named(described: Field, cell: str, fault: str) -> None:
    assert check_cell(described, cell) == fault


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
FORMULA = st.text("=+-@'\t\r\n \x00＝\"a,")


@given(TEXT | FORMULA)
def test_escaping_is_undone_exactly_and_leaves_nothing_to_run(text: str) -> None:
    cell = escape_formula(text)
    assert unescape_formula(cell) == text
    assert not cell.startswith(("\t", "\r", "\n"))
    assert not cell.lstrip(" \x00").startswith(("=", "+", "-", "@"))


@given(st.lists(TEXT | FORMULA, max_size=8))
def test_any_text_survives_the_file(texts: list[str]) -> None:
    frame = pd.DataFrame({"id": range(len(texts)), "text": pd.Series(texts, dtype=object)})
    content = encode_table(NOTE, frame)
    read = decode_table(NOTE, content, "notes.csv")
    assert read["text"].tolist() == texts
    assert encode_table(NOTE, read) == content


@given(st.permutations(range(4)), st.permutations(HEADLINE_TABLE.names))
def test_bytes_do_not_depend_on_the_order_of_rows_or_columns(rows: list[int], columns: list[str]) -> None:
    frame = made_evidence()
    assert encode_table(HEADLINE_TABLE, frame.iloc[rows][columns]) == encode_table(HEADLINE_TABLE, frame)


def test_a_file_is_plain_utf8_with_line_feeds_and_few_quotes() -> None:
    content = encode_table(HEADLINE_TABLE, made_evidence(source=["Wïre", 'a "b"', "c, d", "e\rf"]))
    assert content.startswith(b"session_date,ticker,headline_id,")
    assert content.count(b"\n") == 5
    assert "Wïre".encode() in content
    assert content.count(b'"') == 6 + 2 + 2 + 2  # a ""b"", "c, d", the carriage return, and the title with a comma
    assert b',"\'=Recall, again",' in content


def test_reading_gives_back_what_was_written_and_its_types() -> None:
    rows = decode_table(FEATURE_TABLE, encode_table(FEATURE_TABLE, made_rows()), "x")
    pd.testing.assert_frame_equal(rows, made_rows())
    assert rows["session_date"].tolist() == [DAY] * 3
    assert rows["available_at"].dtype == "datetime64[us, UTC]"
    assert rows["headline_count"].dtype == "Int64"
    assert rows["sentiment_score"].dtype == "float64"
    assert decode_table(HEADLINE_TABLE, encode_table(HEADLINE_TABLE, made_evidence()), "x")["is_late"].dtype == bool


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_without_rows_has_the_same_types(table: Table) -> None:
    empty = decode_table(table, encode_table(table, to_frame(table, [])), "x")
    assert empty.empty
    if table == FEATURE_TABLE:
        assert empty.dtypes.equals(made_rows().dtypes)


def test_iso_dates_are_written_as_dates() -> None:
    assert encode_table(FEATURE_TABLE, made_rows(session_date="2026-11-20")) == encode_table(FEATURE_TABLE, made_rows())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sentiment_score": [2.0, None, 0.0]}, "features: line 2, column sentiment_score: 2.000000 is above 1"),
        ({"story_count": [-1, None, 0]}, "features: line 2, column story_count: -1 is below 0"),
        ({"ticker": ["AAPL", "AAPL", "MSFT"]}, "2026-11-20, AAPL stands on line 2 already"),
        ({"ticker": ["AAPL", "brk.b", "MSFT"]}, "'brk.b' does not match"),
        ({"status": ["news", "neutral", "news"]}, "'neutral' is none of news, no_news, fetch_failed"),
        ({"model_revision": "main"}, "column model_revision: 'main' does not match"),
    ],
)
def test_a_frame_outside_the_schema_is_refused_with_row_and_column(change: dict[str, object], message: str) -> None:
    with pytest.raises(StoreError) as refusal:
        encode_table(FEATURE_TABLE, made_rows(**change))
    assert message in str(refusal.value)


def test_a_frame_of_other_columns_or_types_is_refused() -> None:
    with pytest.raises(StoreError, match=r"missing are \['buzz'\], unknown are \['noise'\]"):
        encode_table(FEATURE_TABLE, made_rows().rename(columns={"buzz": "noise"}))
    with pytest.raises(StoreError, match=r"row 0, column sentiment_score: 'high' is no number \(expected a finite"):
        encode_table(FEATURE_TABLE, made_rows().astype(object).assign(sentiment_score="high"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: the file is cut short"),
        (HEADER, "line 1: the file is cut short"),
        (f"{HEADER}\n{ROW}\n{ROW[:40]}", "line 3: the file is cut short"),
        (f"{HEADER}\n{ROW},\n", "line 2: 35 cells, expected 34"),
        (f"{HEADER}\n\n", "line 2: 0 cells, expected 34"),
        (
            f"{HEADER[13:]}\n",
            "line 1: the header is not that of features: column 1 is 'ticker', expected 'session_date'",
        ),
        (f"{HEADER},nothing\n", "line 1: the header is not that of features: column 35 is 'nothing', expected None"),
        (f"\ufeff{HEADER}\n", "line 1: the header is not that of features: column 1 is '\\ufeffsession_date'"),
        (f"{HEADER}\n\udcff\n", "line 2: not UTF-8 (byte 0xff)"),
        (f'{HEADER}\n"{ROW}\n', "line 2: not CSV"),
        (f"{HEADER}\r\n{ROW}\r\n", "line 1: written by another program"),
        (f"{HEADER}\n" + ROW.replace("AAPL", '"AAPL"') + "\n", "line 2: written by another program"),
        (f"{HEADER}\n{ROW}\n{ROW}\n", "line 3, column session_date, ticker: 2026-11-20, AAPL stands on line 2 already"),
        (f"{HEADER}\n{ROW.replace('AAPL', 'MSFT')}\n{ROW}\n", "line 3, column session_date, ticker: out of order"),
        (f"{HEADER}\n{ROW.replace('0.500000', '1.5')}\n", "line 2, column sentiment_score: '1.5' is no number"),
    ],
)
def test_a_damaged_file_is_refused_with_its_name_and_line(content: str, message: str) -> None:
    with pytest.raises(StoreError) as refusal:
        decode_table(FEATURE_TABLE, content.encode(errors="surrogateescape"), "features/2026/2026-11-20.csv")
    assert str(refusal.value).startswith("features/2026/2026-11-20.csv: " + message)
    assert "\n" not in str(refusal.value)


def test_lines_are_counted_in_the_file_not_in_rows() -> None:
    content = b'id,text\n1,"two\nlines"\n2,=1+1\n'
    with pytest.raises(StoreError, match="line 4, column text"):
        decode_table(NOTE, content, "notes.csv")


def test_the_data_package_lists_sealed_files_in_order_whatever_the_order_of_sessions() -> None:
    sealed = [(DAY, 1), (NEXT_DAY, 1), (DAY, 2), (DAY, 10)]
    assert encode_package(sealed[::-1]) == encode_package(sealed)
    resources = {resource["name"]: resource for resource in datapackage(sealed)["resources"]}
    assert resources["features"]["path"] == ["features/2026/2026-11-20.csv", "features/2026/2026-11-23.csv"]
    assert resources["headlines"]["path"] == ["headlines/2026/2026-11-20.csv", "headlines/2026/2026-11-23.csv"]
    assert resources["features_r2"]["path"] == ["features/2026/2026-11-20.r2.csv"]
    assert resources["headlines_r10"]["path"] == ["headlines/2026/2026-11-20.r10.csv"]
    assert [column["name"] for column in resources["features"]["schema"]["fields"]] == [f.name for f in FEATURES]


def test_whole_numbers_are_sorted_by_their_value() -> None:
    content = encode_table(NOTE, pd.DataFrame({"id": [10, 9, 100], "text": ["", "", ""]}))
    assert content == b"id,text\n9,\n10,\n100,\n"
    assert decode_table(NOTE, content, "notes.csv")["id"].tolist() == [9, 10, 100]
    with pytest.raises(StoreError, match="line 3, column id: out of order"):
        decode_table(NOTE, b"id,text\n10,\n9,\n", "notes.csv")
