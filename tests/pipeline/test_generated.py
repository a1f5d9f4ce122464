"""Which files of a store are generated: the only ones a run may commit."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from pipeline.generated import is_generated, list_generated, read_key
from pipeline.store import FeatureStore

from .made_session import DAY
from .made_store import capture_and_seal, made_restatement, read_tree

DATED = "2026/2026-11-20"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (f"features/{DATED}.csv", (date(2026, 11, 20), 1)),
        (f"headlines/{DATED}.csv", (date(2026, 11, 20), 1)),
        (f"state/lines/{DATED}.r2.csv", (date(2026, 11, 20), 2)),
        (f"features/{DATED}.r12.csv", (date(2026, 11, 20), 12)),
        (f"features/{DATED}.r1.csv", None),
        (f"features/{DATED}.r02.csv", None),
        ("features/2025/2026-11-20.csv", None),
        ("features/2026/2026-13-20.csv", None),
        (f"features/{DATED}.csv.tmp", None),
        (f"features/x/{DATED}.csv", None),
        (f"other/{DATED}.csv", None),
        (f"../features/{DATED}.csv", None),
        (f"features/{DATED}.csv\n", None),
    ],
)
def test_a_dated_file_is_told_by_its_name(name: str, key: object) -> None:
    assert read_key(name) == key
    assert is_generated(name) == (key is not None)


@pytest.mark.parametrize("name", ["manifest.csv", "datapackage.json", "state/feeds.csv", "state/pruned.csv"])
def test_the_single_files_are_generated(name: str) -> None:
    assert is_generated(name)


@pytest.mark.parametrize("name", ["README.md", "__init__.py", "state/x.csv", "features/manifest.csv", "/manifest.csv"])
def test_no_other_file_is(name: str) -> None:
    assert not is_generated(name)


def test_everything_a_store_writes_is_listed(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    assert list_generated(tmp_path) == []
    capture_and_seal(store, DAY)
    store.restate(made_restatement())
    assert list_generated(tmp_path) == sorted(read_tree(tmp_path))
