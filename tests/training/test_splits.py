"""No near-duplicate stands on two sides of a split, and the same input gives the same splits."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.similarity import jaccard, similar_pairs
from pipeline.text import fold_tokens
from training.data import Example, load_examples
from training.readers import LocalFolder
from training.splits import SIMILARITY, SPLIT_SEED, Splits, fingerprint_splits, group_examples, split_examples

WORDS = st.lists(
    st.sampled_from(("alpha", "beta", "gamma", "delta", "omega", "7", "12.5%", "300")), min_size=1, max_size=5
)


@st.composite
def drawn_examples(draw: st.DrawFn) -> list[Example]:
    """Examples from few words, so that near-duplicates are common; some officially held out."""
    row = st.tuples(WORDS, st.integers(0, 2), st.sampled_from(["phrasebank", "twitter"]), st.booleans())
    rows = draw(st.lists(row, max_size=60))
    return [Example(" ".join(w), "", label, None, s, "", held and s == "twitter") for w, label, s, held in rows]


def side_of(splits: Splits) -> dict[int, str]:
    return {i: name for name, indices in splits.by_name().items() for i in indices}


def mask(text: str) -> str:
    return re.sub(r"\d+(?:[.,]\d+)*%?", "0", text)


@settings(max_examples=60, deadline=None)
@given(drawn_examples(), st.integers(0, 5))
def test_splits_partition_the_rows_and_never_part_near_duplicates(examples: list[Example], seed: int) -> None:
    splits = split_examples(examples, seed)
    side = side_of(splits)
    dropped = dict(splits.dropped)
    parts = [*splits.train, *splits.validation, *splits.test, *dropped]
    assert sorted(parts) == list(range(len(examples)))
    assert all(side[i] == "test" for i, example in enumerate(examples) if example.is_official_test)
    tokens = [frozenset(fold_tokens(mask(example.text))) for example in examples]
    for i, j in combinations(side, 2):
        assert side[i] == side[j] or jaccard(tokens[i], tokens[j]) < SIMILARITY, (examples[i], examples[j])
    assert split_examples(examples, seed) == splits


@settings(max_examples=60, deadline=None)
@given(drawn_examples(), st.randoms(use_true_random=False))
def test_clusters_do_not_hang_on_the_order_of_the_rows(examples: list[Example], random: Random) -> None:
    order = list(range(len(examples)))
    random.shuffle(order)
    clusters = group_examples(examples)
    moved = group_examples([examples[i] for i in order])
    for here, there in combinations(range(len(order)), 2):
        assert (moved[here] == moved[there]) == (clusters[order[here]] == clusters[order[there]])


@settings(max_examples=60, deadline=None)
@given(drawn_examples(), st.randoms(use_true_random=False))
def test_no_order_of_the_rows_lets_a_cluster_straddle_or_an_official_row_leave_test(
    examples: list[Example], random: Random
) -> None:
    moved = random.sample(examples, len(examples))
    splits, clusters = split_examples(moved, SPLIT_SEED), group_examples(moved)
    sides: dict[int, set[str]] = {}
    for i, name in side_of(splits).items():
        sides.setdefault(clusters[i], set()).add(name)
    assert all(len(names) == 1 for names in sides.values())
    assert {i for i, example in enumerate(moved) if example.is_official_test} <= set(splits.test)


def test_the_fingerprint_knows_members_not_order_or_labels(mini_data: LocalFolder) -> None:
    examples = load_examples(mini_data)
    splits = split_examples(examples, SPLIT_SEED)
    found = fingerprint_splits(examples, splits)
    last = len(examples) - 1
    turned = {name: tuple(last - i for i in reversed(indices)) for name, indices in splits.by_name().items()}
    assert fingerprint_splits(examples[::-1], Splits(**turned, dropped=())) == found
    assert fingerprint_splits([replace(e, label=0, score=None, aspect="") for e in examples], splits) == found
    moved = replace(splits, validation=splits.validation[1:], train=(*splits.train, splits.validation[0]))
    changed = fingerprint_splits(examples, moved)
    assert {name for name in found if found[name] != changed[name]} == {"train", "validation"}


def test_the_same_sentence_with_other_figures_is_one_cluster() -> None:
    texts = [
        "Net sales rose 12.5% to EUR 300 mn",
        "Net sales rose 7 % to EUR 1,200.5 mn",
        "The board met on Monday in Oslo",
    ]
    first, second, third = group_examples([Example(text, "", 1, None, "phrasebank") for text in texts])
    assert first == second != third


@pytest.mark.parametrize(
    ("rows", "reasons"),
    [
        ([("a b c", "", 1, False), ("A, b c!", "", 1, False)], {1: "repeats another row"}),
        ([("a b c", "", 1, False), ("a b c", "", 2, False)], dict.fromkeys((0, 1), "same text, other label")),
        ([("a b c", "Acme", 1, False), ("a b c", "Bolt", 2, False)], {}),
        ([("a b c 1", "", 1, True), ("a b c 2", "", 1, False)], {1: "near-duplicate of a test row"}),
    ],
    ids=["repeat", "contradiction", "two targets", "near test"],
)
def test_rows_are_dropped_with_the_reason(rows: list[tuple[str, str, int, bool]], reasons: dict[int, str]) -> None:
    examples = [Example(text, target, label, None, "twitter", "", held) for text, target, label, held in rows]
    assert dict(split_examples(examples, 0).dropped) == reasons


def test_own_tests_and_validation_take_about_a_tenth_of_every_label(mini_data: LocalFolder) -> None:
    examples = load_examples(mini_data)
    splits = split_examples(examples, 1)
    for label in range(3):
        held = [i for i in splits.test if examples[i].source == "phrasebank" and examples[i].label == label]
        assert 3 <= len(held) <= 4
    rest = len(splits.train) + len(splits.validation)
    assert 0.05 * rest <= len(splits.validation) <= 0.1 * rest


def test_another_seed_draws_other_rows(mini_data: LocalFolder) -> None:
    examples = load_examples(mini_data)
    assert split_examples(examples, 1).test != split_examples(examples, 2).test


@pytest.fixture(scope="module")
def real(data_dir: Path) -> tuple[list[Example], Splits]:
    """The real rows and their splits."""
    examples = load_examples(LocalFolder(data_dir))
    return examples, split_examples(examples, SPLIT_SEED)


def test_the_real_splits_are_those_the_shipped_model_was_trained_and_measured_on(
    real: tuple[list[Example], Splits],
) -> None:
    examples, splits = real
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (22_069, 2_445, 4_351)
    assert fingerprint_splits(examples, splits) == {
        "train": "927f80c55a0b934679f8507b6408260baf27c63dc6818d94ee4b3d8f61c08e44",
        "validation": "7dd2b16a26724aa0528f2bffcfc658b5c28f38b6bc2deb100e2a5ea8325c872e",
        "test": "ac75ef3070216aba2a4c4f0da86aee0abff5218bf091ad273a222c789605ab3b",
    }


def test_no_near_duplicate_straddles_the_real_splits(real: tuple[list[Example], Splits]) -> None:
    examples, splits = real
    side = side_of(splits)
    sides: dict[str, set[str]] = {}
    for i, name in side.items():
        sides.setdefault(mask(examples[i].text), set()).add(name)
    assert [text for text, names in sides.items() if len(names) > 1] == []
    texts = list(sides)
    assert [
        (texts[i], texts[j]) for i, j, _ in similar_pairs(texts, SIMILARITY) if sides[texts[i]] != sides[texts[j]]
    ] == []
