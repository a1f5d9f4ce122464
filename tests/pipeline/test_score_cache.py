"""The scorer with scores at hand: the same answers, from whichever side they come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.score_archive import score_pairs
from pipeline.score_cache import CachedScorer, load_scores
from pipeline.score_file import Origin, ScoreFileError, Scores, find_keys, write_scores

HERE = Origin("a" * 40, "b" * 64, "this one")
PAIR = st.tuples(st.sampled_from("ABCDEFGH"), st.sampled_from(["", "Apple", "Ford"]))


class HashScorer:
    """Gives every pair numbers of its own, and remembers what it was asked."""

    revision = "a" * 40

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def score(self, pairs: Sequence[tuple[str, str]], progress: bool = False) -> np.ndarray:
        """Return float32 (n, 3)."""
        self.asked += pairs
        shares = [(int(key) % 997 / 997, int(key) % 991 / 991) for key in find_keys(pairs)]
        return np.array([(a * b, a * (1 - b), 1 - a) for a, b in shares], np.float32).reshape(-1, 3)


def write(folder: Path, month: str, pairs: Sequence[tuple[str, str]], origin: Origin = HERE, add: float = 0) -> None:
    scores = score_pairs(pairs, HashScorer())
    write_scores(
        folder / f"scores-{month}.csv", origin, replace(scores, probabilities=scores.probabilities * (1 - add))
    )


@given(st.lists(PAIR), st.lists(PAIR, unique=True))
def test_answers_do_not_depend_on_what_is_at_hand(asked: list[tuple[str, str]], at_hand: list[tuple[str, str]]) -> None:
    scorer = HashScorer()
    cached = CachedScorer(scorer, score_pairs(at_hand, HashScorer()))
    assert cached.revision == scorer.revision
    found = cached.score(asked)
    assert (found.dtype, found.shape) == (np.float32, (len(asked), 3))
    assert found.tobytes() == HashScorer().score(asked).tobytes()
    assert scorer.asked == [pair for pair in asked if pair not in at_hand]
    assert (cached.asked_count, cached.found_count) == (len(asked), sum(pair in at_hand for pair in asked))


def test_a_folder_gives_the_scores_of_all_its_files(tmp_path: Path) -> None:
    write(tmp_path, "2015-03", [("A", ""), ("B", "Apple")])
    write(tmp_path, "2015-04", [("B", "Apple"), ("C", "Ford")])
    write(tmp_path, "2015-05", [])
    (tmp_path / "notes.csv").write_text("mine")
    scores, cpus = load_scores(tmp_path, HERE)
    assert cpus == ["this one"]
    expected = score_pairs([("A", ""), ("B", "Apple"), ("C", "Ford")], HashScorer())
    assert scores.keys.tolist() == expected.keys.tolist()
    assert scores.probabilities.tobytes() == expected.probabilities.tobytes()


def test_a_folder_that_is_not_there_holds_none(tmp_path: Path) -> None:
    scores, cpus = load_scores(tmp_path / "absent", HERE)
    assert (len(scores.keys), cpus) == (0, [])


@pytest.mark.parametrize(
    ("others", "expected"),
    [({"2015-03": "other"}, 0), ({"2015-05": "other"}, 0), ({"2015-03": "b", "2015-05": "a"}, 0)],
)
def test_where_processors_disagree_this_one_s_word_counts(
    tmp_path: Path, others: dict[str, str], expected: float
) -> None:
    write(tmp_path, "2015-04", [("A", "")])
    for month, cpu in others.items():
        write(tmp_path, month, [("A", ""), ("B", "")], replace(HERE, cpu=cpu), add=0.01)
    scores, cpus = load_scores(tmp_path, HERE)
    assert cpus == ["this one", *sorted(others.values())]
    ours = HashScorer().score([("A", "")])
    assert scores.probabilities[scores.keys == find_keys([("A", "")])[0]].tobytes() == ours.tobytes()
    assert len(scores.keys) == 2


@pytest.mark.parametrize(
    ("origin", "add", "message"),
    [
        (replace(HERE, model_revision="c" * 40), 0, "04.csv: scores of another model: model_revision is ccc"),
        (replace(HERE, onnx_sha256="c" * 64), 0, "04.csv: scores of another model: onnx_sha256 is ccc"),
        (HERE, 0.01, "files of this one disagree about key"),
        (replace(HERE, cpu="other"), 0.01, None),
        (HERE, 0, None),
    ],
)
def test_scores_that_cannot_be_this_model_s_are_refused(
    tmp_path: Path, origin: Origin, add: float, message: str | None
) -> None:
    write(tmp_path, "2015-03", [("A", "Ford")])
    write(tmp_path, "2015-04", [("A", "Ford")], origin, add)
    if message is None:
        assert len(load_scores(tmp_path, HERE)[0].keys) == 1
        return
    with pytest.raises(ScoreFileError) as caught:
        load_scores(tmp_path, HERE)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_scores_at_hand_is_no_special_case() -> None:
    nothing = Scores(np.empty(0, np.uint64), np.empty((0, 3), np.float32))
    assert CachedScorer(HashScorer(), nothing).score([]).shape == (0, 3)
