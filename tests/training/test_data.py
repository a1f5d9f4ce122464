"""Every source's labels are mapped by name, and malformed files are refused with file and row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.text import LABELS
from training.data import (
    DataError,
    Example,
    find_root,
    hash_files,
    load_examples,
    load_fiqa,
    load_phrasebank,
    load_sentfin,
    load_twitter,
    name_of_score,
)

from .conftest import write_phrasebank, write_table


def test_phrasebank_reads_names_latin_1_and_the_strictest_level(tmp_path: Path) -> None:
    lines = [
        "Profit rose at Mäkelä .@positive",
        "Mail us a@b .@neutral",
        "Sales fell .@negative",
        "So so\x85 .@neutral",
    ]
    write_phrasebank(tmp_path, lines, {"All": lines[:1], "75": lines[:2], "66": lines[:3]})
    found = [(e.text, e.target, LABELS[e.label], e.slice) for e in load_phrasebank(tmp_path)]
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
    found = [(e.text, LABELS[e.label], e.is_official_test) for e in load_twitter(tmp_path)]
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


def test_fiqa_keeps_target_score_and_official_test(tmp_path: Path) -> None:
    columns = ("sentence", "target", "score", "type", "hf_split")
    rows = [("Acme up", "Acme", "0.5", "headline", "train"), ("Bolt down", "Bolt", "-0.4", "post", "test")]
    write_table(tmp_path, "fiqa_2018_task1/fiqa_task1_flat.csv", columns, rows)
    first, second = load_fiqa(tmp_path)
    assert (first.target, LABELS[first.label], first.score, first.slice, first.is_official_test) == (
        "Acme", "positive", 0.5, "headline", False,
    )  # fmt: skip
    assert (LABELS[second.label], second.score, second.is_official_test) == ("negative", -0.4, True)


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
    assert [(e.target, LABELS[e.label], e.slice) for e in load_sentfin(tmp_path)] == pairs


TWITTER_TRAIN = "twitter_financial_news/sent_train.csv"
BAD = [
    (load_twitter, TWITTER_TRAIN, ("text", "label"), ("hm", "3"), r"sent_train.csv row 1: label '3'"),
    (load_twitter, TWITTER_TRAIN, ("text", "mood"), ("hm", "1"), r"column label missing"),
    (load_twitter, TWITTER_TRAIN, ("text", "label"), ("hm",), r"row 1: fewer cells"),
    (load_sentfin, "sentfin/SEntFiN.csv", ("Title", "Decisions"), ("hm", "{}"), r"SEntFiN.csv row 1: no 'entity'"),
    (
        load_fiqa,
        "fiqa_2018_task1/fiqa_task1_flat.csv",
        ("sentence", "target", "score", "type", "hf_split"),
        ("hm", "", "1.5", "post", "train"),
        r"row 1: score '1.5'; expected a number in -1..1",
    ),
]


@pytest.mark.parametrize(("load", "file", "columns", "row", "message"), BAD)
def test_malformed_rows_are_refused(
    tmp_path: Path,
    load: Callable[[Path], list[Example]],
    file: str,
    columns: tuple[str, ...],
    row: tuple[str, ...],
    message: str,
) -> None:
    write_table(tmp_path, file, columns, [row])
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_a_phrasebank_line_without_a_label_is_refused(tmp_path: Path) -> None:
    write_phrasebank(tmp_path, ["Fine .@neutral", "no label here"])
    with pytest.raises(DataError, match=r"Sentences_50Agree.txt row 2: label ''"):
        load_phrasebank(tmp_path)


def test_a_missing_file_and_a_missing_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data file missing: .*SEntFiN.csv"):
        load_sentfin(tmp_path)
    with pytest.raises(DataError, match="FINANCIAL_SENTIMENT_DATA"):
        find_root({"FINANCIAL_SENTIMENT_DATA": str(tmp_path)})


def test_all_sources_load_together_and_each_file_has_a_hash(mini_root: Path) -> None:
    counts = Counter(example.source for example in load_examples(mini_root))
    assert counts == {"phrasebank": 120, "twitter": 120, "fiqa": 120, "sentfin": 180}
    assert {len(digest) for digest in hash_files(mini_root).values()} == {64}


def test_the_real_sets_have_the_rows_their_description_states(data_dir: Path) -> None:
    examples = load_examples(data_dir)
    counts = Counter(example.source for example in examples)
    assert counts["fiqa"] == 1173
    assert sum(e.source == "fiqa" and e.is_official_test for e in examples) == 234
    assert sum(e.source == "twitter" and e.is_official_test for e in examples) == 2388
    fiqa = Counter(LABELS[e.label] for e in examples if e.source == "fiqa")
    assert fiqa == {"negative": 363, "positive": 719, "neutral": 91}
    official = Counter(LABELS[e.label] for e in examples if e.source == "twitter" and e.is_official_test)
    assert official == {"negative": 347, "positive": 475, "neutral": 1566}
