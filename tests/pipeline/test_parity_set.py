"""The frozen headlines on which the exported model is held against the trained one."""

from __future__ import annotations

import csv
from collections import Counter

import pytest

from pipeline.config import HOME
from pipeline.text import LABELS, clean_text

Row = dict[str, str]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    with (HOME / "parity_set.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        assert reader.fieldnames == ["headline", "company", "label"]
        return list(reader)


def test_there_are_at_least_600_distinct_headlines(rows: list[Row]) -> None:
    assert len({row["headline"] for row in rows}) >= 600


def test_a_headline_meets_a_company_once(rows: list[Row]) -> None:
    counts = Counter((row["headline"], row["company"]) for row in rows)
    assert [pair for pair, count in counts.items() if count > 1] == []


def test_labels_are_known_and_none_is_rare(rows: list[Row]) -> None:
    shares = {label: count / len(rows) for label, count in Counter(row["label"] for row in rows).items()}
    assert set(shares) == set(LABELS)
    assert min(shares.values()) >= 0.25


def test_texts_are_clean_and_on_one_line(rows: list[Row]) -> None:
    texts = [row[column] for row in rows for column in ("headline", "company")]
    assert [text for text in texts if text != clean_text(text)] == []
    assert all(row["headline"] for row in rows)


def test_a_target_is_named_in_its_headline(rows: list[Row]) -> None:
    """A cashtag stands for its company; every other target is spelled out."""
    named = [row for row in rows if row["company"] and "$" not in row["headline"].split()[0]]
    assert [row for row in named if row["company"] not in row["headline"]] == []


def test_some_headlines_are_read_without_a_target(rows: list[Row]) -> None:
    assert 0.1 <= sum(not row["company"] for row in rows) / len(rows) <= 0.3


def test_one_headline_can_be_good_for_one_company_and_bad_for_another(rows: list[Row]) -> None:
    labels: dict[str, set[str]] = {}
    for row in rows:
        labels.setdefault(row["headline"], set()).add(row["label"])
    assert sum(len(found) > 1 for found in labels.values()) >= 20
