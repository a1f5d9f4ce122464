"""``prepare`` says what was read, repeated, dropped and split, and its manifest is plain JSON with hashes."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from training.data import SOURCES, Example, load_examples
from training.prepare import count_near_repeats, count_repeats, format_manifest, prepare_data
from training.readers import LocalFolder
from training.recipe import Recipe, load_recipe
from training.splits import SPLIT_SEED, fingerprint_splits, split_examples

from .conftest import write_phrasebank, write_table


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe(Path(__file__).parents[2] / "training" / "recipes" / "smoke.toml")


def row(text: str, source: str, target: str = "") -> Example:
    return Example(text, target, 1, None, source)


def test_repeats_are_counted_within_and_across_sources() -> None:
    examples = [
        row("Acme up", "phrasebank"), row("ACME up!", "phrasebank"), row("Bolt down", "phrasebank"),
        row("acme, up", "twitter"), row("Bolt down", "twitter"),
        row("Acme up", "sentfin", "Acme"), row("Acme up", "sentfin", "Bolt"),
    ]  # fmt: skip
    assert count_repeats(examples) == {
        "phrasebank": {"phrasebank": 1, "twitter": 2, "sentfin": 1},
        "twitter": {"phrasebank": 2, "twitter": 0, "sentfin": 1},
        "sentfin": {"phrasebank": 1, "twitter": 1, "sentfin": 0},
    }


def test_near_repeats_count_distinct_texts_by_cluster() -> None:
    examples = [
        row("net sales of the group rose 5 % to 7 mn", "phrasebank"),
        row("net sales of the group rose 9 % to 80 mn", "phrasebank"),
        row("Net sales of the group rose 9 % to 80 mn!", "phrasebank"),
        row("the board met in Oslo", "phrasebank"),
        row("net sales of the group rose 1 % to 2 mn", "fiqa"),
    ]
    assert count_near_repeats(examples) == {
        "phrasebank": {"phrasebank": 1, "fiqa": 2},
        "fiqa": {"phrasebank": 1, "fiqa": 0},
    }


def test_the_manifest_counts_what_was_read_and_split(recipe: Recipe, mini_data: LocalFolder) -> None:
    manifest = prepare_data(recipe, mini_data)
    assert json.loads(json.dumps(manifest)) == manifest
    examples = load_examples(mini_data)
    splits = split_examples(examples, SPLIT_SEED)
    assert manifest["splits"] == fingerprint_splits(examples, splits)
    assert set(manifest["data"]) == set(SOURCES)
    for name, indices in splits.by_name().items():
        rows = Counter(examples[i].source for i in indices)
        counted = {source: sum(labels.values()) for source, labels in manifest["split_labels"][name].items()}
        assert {source: count for source, count in counted.items() if count} == rows
    read = sum(sum(labels.values()) for labels in manifest["labels"].values())
    left = sum(sum(found.values()) for found in manifest["left_out"].values())
    assert read == len(examples) == left + sum(len(indices) for indices in splits.by_name().values())
    assert manifest["contamination"] == []


def test_the_splits_and_the_data_do_not_hang_on_the_recipe(recipe: Recipe, mini_data: LocalFolder) -> None:
    other = replace(recipe, name="other", base="ProsusAI/finbert", revision="0" * 40, repeats={"fiqa": 1}, seed=7)
    one, two = prepare_data(recipe, mini_data), prepare_data(other, mini_data)
    same = ("data", "labels", "exact_repeats", "near_repeats", "splits", "left_out", "split_labels")
    assert {key: one[key] for key in same} == {key: two[key] for key in same}
    assert (two["trained_on"], two["contamination"][0]["source"]) == (["fiqa"], "phrasebank")


def test_percentile_labels_move_fiqas_training_and_validation_rows_only(recipe: Recipe, tmp_path: Path) -> None:
    write_phrasebank(tmp_path, ["Fine day here .@neutral"])
    for name in ("sent_train", "sent_valid"):
        write_table(tmp_path, f"twitter_financial_news/{name}.csv", ("text", "label"), [(f"{name} goes", "1")])
    write_table(tmp_path, "sentfin/SEntFiN.csv", ("Title", "Decisions"), [("A headline", "{'Acme': 'neutral'}")])
    columns = ("_id", "sentence", "target", "aspect", "score", "type", "hf_split")
    rows = [
        (
            str(i),
            " ".join(f"{c}{chr(97 + i % 26)}{chr(97 + i // 26)}" for c in "xyz"),
            "",
            "",
            str(i / 60),
            "post",
            ("train", "test")[i % 2],
        )
        for i in range(60)
    ]
    write_table(tmp_path, "fiqa_2018_task1/fiqa_task1_flat.csv", columns, rows)
    fixed = prepare_data(recipe, LocalFolder(tmp_path))
    moved = prepare_data(replace(recipe, fiqa_labels="percentile"), LocalFolder(tmp_path))
    assert fixed["fiqa_thresholds"] == [-0.1, 0.1]
    assert 0.2 < moved["fiqa_thresholds"][0] < moved["fiqa_thresholds"][1] < 0.7
    assert fixed["split_labels"]["train"]["fiqa"]["negative"] == 0
    assert moved["split_labels"]["train"]["fiqa"]["negative"] > 5
    assert moved["split_labels"]["test"] == fixed["split_labels"]["test"]


def test_the_text_says_all_of_it_in_lines_one_can_read(recipe: Recipe, mini_data: LocalFolder) -> None:
    base = replace(recipe, base="ProsusAI/finbert", revision="0" * 40)
    preparation = prepare_data(base, mini_data)
    text = format_manifest(preparation)
    expected = ("rows read", "dropped rows", "validation", "sentfin", "sha256", "by its authors' split script")
    assert [words for words in expected if words not in text] == []
    assert all(digest in text for digest in preparation["splits"].values())
    assert all(found["sha256"] in text for found in preparation["data"].values())
    assert max(len(line) for line in text.splitlines()) <= 120
    assert "nothing known, which does not say" in format_manifest(prepare_data(recipe, mini_data))
