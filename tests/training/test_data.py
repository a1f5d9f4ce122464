"""Every source's labels are mapped by name, malformed rows are refused with file and row, dropped ones are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.text import LABELS
from training.data import (
    Drops,
    Example,
    describe_data,
    load_examples,
    load_fiqa,
    load_phrasebank,
    load_sentfin,
    load_twitter,
    name_of_score,
)
from training.readers import DataError, DataSource, LocalFolder

from .conftest import FIQA_COLUMNS, FIQA_FILE, write_phrasebank, write_table

Load = Callable[[DataSource, Drops], list[Example]]


def read(load: Load, root: Path) -> list[Example]:
    return load(LocalFolder(root), Counter())


def test_phrasebank_reads_names_latin_1_and_the_strictest_level(tmp_path: Path) -> None:
    lines = [
        "Profit rose at Mäkelä .@positive",
        "Mail us a@b .@neutral",
        "Sales fell .@negative",
        "So so\x85 .@neutral",
    ]
    write_phrasebank(tmp_path, lines, {"All": lines[:1], "75": lines[:2], "66": lines[:3]})
    found = [(e.text, e.target, LABELS[e.label], e.slice) for e in read(load_phrasebank, tmp_path)]
    assert found == [
        ("Profit rose at Mäkelä .", "", "positive", "all"),
        ("Mail us a@b .", "", "neutral", "75"),
        ("Sales fell .", "", "negative", "66"),
        ("So so .", "", "neutral", "50"),
    ]


def test_twitter_numbers_are_bearish_bullish_neutral_and_rows_may_hold_line_breaks(tmp_path: Path) -> None:
    rows = [("bears out", "0"), ("bulls\nin", "1"), ("a day", "2")]
    write_table(tmp_path, "twitter_financial_news/sent_train.csv", ("text", "label"), rows)
    write_table(tmp_path, "twitter_financial_news/sent_valid.csv", ("text", "label"), rows[:1])
    found = [(e.text, LABELS[e.label], e.is_official_test) for e in read(load_twitter, tmp_path)]
    assert found == [
        ("bears out", "negative", False),
        ("bulls in", "positive", False),
        ("a day", "neutral", False),
        ("bears out", "negative", True),
    ]


@pytest.mark.parametrize(
    ("score", "name"),
    [(-1, "negative"), (-0.11, "negative"), (-0.1, "neutral"), (0, "neutral"), (0.099, "neutral"), (0.1, "positive")],
)
def test_fiqa_class_follows_the_thresholds(score: float, name: str) -> None:
    assert name_of_score(score) == name


def test_fiqa_keeps_target_aspect_score_and_official_test_in_the_order_of_type_id_and_target(tmp_path: Path) -> None:
    rows = [
        ("10", "Bolt down", "Bolt", "['Stock/Price']", "-0.4", "post", "test"),
        ("9", "Acme up", "Crow", "", "0", "headline", "train"),
        ("10", "Day out", "Acme", "Corporate", "-0.2", "headline", "valid"),
        ("9", "Acme up", "Acme", "Stock", "0.5", "headline", "train"),
    ]
    write_table(tmp_path, FIQA_FILE, FIQA_COLUMNS, rows)
    assert read(load_fiqa, tmp_path) == [
        Example("Acme up", "Acme", 2, 0.5, "fiqa", "headline", False, "Stock"),
        Example("Acme up", "Crow", 1, 0.0, "fiqa", "headline", False, ""),
        Example("Day out", "Acme", 0, -0.2, "fiqa", "headline", False, "Corporate"),
        Example("Bolt down", "Bolt", 0, -0.4, "fiqa", "post", True, "Stock/Price"),
    ]


@pytest.mark.parametrize(
    ("decisions", "pairs"),
    [
        ("{'Acme': 'neutral'}", [("Acme", "neutral", "single")]),
        ("{'Acme': 'positive', 'Bolt': 'negative'}", [("Acme", "positive", "multi"), ("Bolt", "negative", "multi")]),
        ("{'Dan's Deli': 'negative'}", [("Dan's Deli", "negative", "single")]),
        ("{\"Dan's\": 'positive', 'Bolt': 'neutral'}", [("Dan's", "positive", "multi"), ("Bolt", "neutral", "multi")]),
    ],
)
def test_sentfin_gives_one_example_per_entity(
    tmp_path: Path, decisions: str, pairs: list[tuple[str, str, str]]
) -> None:
    write_table(tmp_path, "sentfin/SEntFiN.csv", ("S No.", "Title", "Decisions"), [("1", "A title", decisions)])
    assert [(e.target, LABELS[e.label], e.slice) for e in read(load_sentfin, tmp_path)] == pairs


TWITTER_TRAIN = "twitter_financial_news/sent_train.csv"
BAD = [
    (load_twitter, TWITTER_TRAIN, ("text", "label"), ("hm", "3"), r"sent_train.csv row 1: label '3'"),
    *(
        (load_sentfin, "sentfin/SEntFiN.csv", ("Title", "Decisions"), ("hm", decisions), message)
        for decisions, message in (
            ("{}", r"SEntFiN.csv row 1: '{}'; expected 'entity': 'label' pairs alone, in braces"),
            ("{'Acme': 'positive', 'Bolt'}", r"row 1: .*; expected 'entity': 'label' pairs alone, in braces"),
            ("{'Acme': 'positive','Bolt': 'neutral'}", r"row 1: .*; expected 'entity': 'label' pairs alone, in braces"),
            ('{"Acme": "unsure", "Beta": "positive"}', r"SEntFiN.csv row 1: label 'unsure'; expected one of negative"),
            ("{'Acme': 'positive', 'Bolt': 'Neutral'}", r"SEntFiN.csv row 1: label 'Neutral'; expected one of"),
        )
    ),
    (
        load_fiqa,
        FIQA_FILE,
        FIQA_COLUMNS,
        ("1", "hm", "", "", "1.5", "post", "train"),
        r"row 1: score '1.5'; expected a number in -1..1",
    ),
    (
        load_fiqa,
        FIQA_FILE,
        FIQA_COLUMNS,
        ("1", "hm", "", "", "nan", "post", "train"),
        r"row 1: score 'nan'; expected a number in -1..1",
    ),
    (load_fiqa, FIQA_FILE, FIQA_COLUMNS, ("x", "hm", "", "", "0", "post", "train"), r"row 1: _id 'x'; expected"),
]


@pytest.mark.parametrize(("load", "file", "columns", "row", "message"), BAD)
def test_malformed_rows_are_refused(
    tmp_path: Path, load: Load, file: str, columns: tuple[str, ...], row: tuple[str, ...], message: str
) -> None:
    write_table(tmp_path, file, columns, [row])
    with pytest.raises(DataError, match=message):
        read(load, tmp_path)


def test_a_phrasebank_line_without_a_label_is_refused(tmp_path: Path) -> None:
    write_phrasebank(tmp_path, ["Fine .@neutral", "no label here"])
    with pytest.raises(DataError, match=r"Sentences_50Agree.txt row 2: label ''"):
        read(load_phrasebank, tmp_path)


def test_rows_without_text_are_dropped_and_counted(tmp_path: Path) -> None:
    write_phrasebank(tmp_path, ["Fine .@neutral", "", "Good .@positive"])
    rows = [("\u200b", "0"), ("up", "1")]
    for file in ("sent_train", "sent_valid"):
        write_table(tmp_path, f"twitter_financial_news/{file}.csv", ("text", "label"), rows)
    dropped: Drops = Counter()
    examples = load_examples(LocalFolder(tmp_path), ("phrasebank", "twitter"), dropped)
    assert [example.text for example in examples] == ["Fine .", "Good .", "up", "up"]
    assert dropped == {("phrasebank", "blank line"): 1, ("twitter", "no text"): 2}


def test_all_sources_load_together(mini_data: LocalFolder) -> None:
    counts = Counter(example.source for example in load_examples(mini_data))
    assert counts == {"phrasebank": 120, "twitter": 120, "fiqa": 120, "sentfin": 180}


def test_the_data_hash_moves_with_every_cell_that_counts_and_with_no_other(mini_data: LocalFolder) -> None:
    examples = load_examples(mini_data)
    described = describe_data(mini_data, examples)
    assert {source: found["row_count"] for source, found in described.items()} == {
        "phrasebank": 120, "twitter": 120, "fiqa": 120, "sentfin": 180,
    }  # fmt: skip
    changes = {"text": "other", "target": "other", "label": (examples[0].label + 1) % 3, "score": 0.5, "slice": "x"}
    for name, value in [*changes.items(), ("is_official_test", True)]:
        changed = describe_data(mini_data, [replace(examples[0], **{name: value}), *examples[1:]])
        assert changed["phrasebank"]["sha256"] != described["phrasebank"]["sha256"], name
        assert changed["twitter"] == described["twitter"]
    assert describe_data(mini_data, [replace(e, aspect="other") for e in examples]) == described
    turned = [*examples[1:120], examples[0], *examples[120:]]
    assert describe_data(mini_data, turned)["phrasebank"] != described["phrasebank"]


def test_the_real_sets_have_the_rows_their_description_states(data_dir: Path) -> None:
    dropped: Drops = Counter()
    examples = load_examples(LocalFolder(data_dir), dropped=dropped)
    assert dropped == {}
    counts = Counter(example.source for example in examples)
    assert counts["fiqa"] == 1173
    assert sum(e.source == "fiqa" and e.is_official_test for e in examples) == 234
    assert sum(e.source == "twitter" and e.is_official_test for e in examples) == 2388
    fiqa = Counter(LABELS[e.label] for e in examples if e.source == "fiqa")
    assert fiqa == {"negative": 363, "positive": 719, "neutral": 91}
    official = Counter(LABELS[e.label] for e in examples if e.source == "twitter" and e.is_official_test)
    assert official == {"negative": 347, "positive": 475, "neutral": 1566}
