"""The committed store: sound by its own checks and by Frictionless, on trading days, and described as it is."""

from __future__ import annotations

import pandas as pd
import pytest
from frictionless import Package

from pipeline.config import load_settings
from pipeline.schema import (
    FEATURE_TABLE,
    FEED_TABLE,
    HEADLINE_TABLE,
    LINE_TABLE,
    MANIFEST_TABLE,
    PRUNED_TABLE,
    Field,
    Table,
)
from pipeline.sessions import Sessions
from pipeline.store import FeatureStore
from tests.conftest import PROJECT
from tests.pipeline.made_session import DAY, NEXT_DAY, made_evidence, made_manifest_row, made_rows

ROOT = PROJECT / "feature_store"
STORE = FeatureStore(ROOT)


def test_every_committed_file_is_what_was_sealed_and_matches_the_schema() -> None:
    assert STORE.verify() == []


def test_frictionless_accepts_the_committed_package() -> None:
    report = Package(str(ROOT / "datapackage.json")).validate()
    assert report.valid, report.flatten(["message"])


def test_every_committed_date_is_a_session_and_was_sealed_after_its_cut_off() -> None:
    settings = load_settings(PROJECT / "pipeline" / "settings.toml")
    manifest = STORE.sealed()
    sessions = Sessions(settings.sessions.calendar, settings.sessions.cutoff_offset_minutes)
    for day in STORE.sealed_dates() | STORE.captured_dates():
        assert sessions.session(day).session_date == day
    assert (manifest["available_at"] >= manifest["cutoff_at"]).all()
    assert (manifest["opens_after"] < manifest["cutoff_at"]).all()


@pytest.mark.parametrize(
    "table",
    [FEATURE_TABLE, HEADLINE_TABLE, MANIFEST_TABLE, FEED_TABLE, PRUNED_TABLE, LINE_TABLE],
    ids=lambda t: t.name,
)
def test_the_readme_describes_every_column_as_the_schema_does(table: Table) -> None:
    rows = "\n".join(describe(field) for field in table.fields)
    assert (
        f"| column | type | unit | meaning |\n| --- | --- | --- | --- |\n{rows}\n\n" in (ROOT / "README.md").read_text()
    )


def describe(field: Field) -> str:
    return f"| {field.name} | {field.type} | {field.unit} | {field.description} |"


def test_the_readme_tells_how_to_read_what_the_store_writes(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path_factory.mktemp("home")
    store = FeatureStore(home / "feature_store")
    for day in (DAY, NEXT_DAY):
        store.append_headlines(made_evidence(day))
        store.seal(made_rows(day, ticker=["AAPL", "BRK.B", "NA"]), made_manifest_row(day))
    monkeypatch.chdir(home)
    found: dict[str, pd.DataFrame] = {}
    exec((ROOT / "README.md").read_text().split("```python\n")[1].split("```")[0], found)
    assert found["scores"].columns.tolist() == ["AAPL", "BRK.B", "NA"]
    assert found["scores"].index.tolist() == [pd.Timestamp(DAY), pd.Timestamp(NEXT_DAY)]
    assert found["scores"].loc["2026-11-20"].isna().tolist() == [False, True, False]


def test_git_leaves_the_bytes_of_sealed_files_alone() -> None:
    assert {"*.csv -text", "*.json -text"} <= set((ROOT / ".gitattributes").read_text().splitlines())
