"""Scores are a function of the pair alone: not of its neighbours, its place, or the number of threads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ModelError
from pipeline.model_folder import ONNX_FILE, PROVENANCE, read_json, write_provenance
from pipeline.score import OnnxScorer, plan_batches, softmax

from .conftest import Made
from .made_model import MAX_LENGTH, PAIRS

if TYPE_CHECKING:
    import onnx

ODD_PAIRS = [
    ("", ""),
    ("", "Acme"),
    ("profit falls", ""),
    ("PROFIT Falls", "acme"),
    ("Café Ñandú's profit — “record”", "Société Générale"),
    ("利益が減少", "東京"),
    ("line\nbreak\tand \x00 control", "Acme"),
    ("profit " * 60, ""),
    ("profit " * 60, "Zenith Corp"),
    ("loss", "Very Long Company Name Incorporated " * 10),
    ("profit " * 60, "Very Long Company Name Incorporated " * 10),
]


@pytest.fixture(scope="module")
def scorer(made: Made) -> OnnxScorer:
    return OnnxScorer(made.folder, threads=1, batch_tokens=64)


def test_scores_are_probabilities(scorer: OnnxScorer) -> None:
    scores = scorer.score(PAIRS)
    assert (scores.shape, scores.dtype) == ((len(PAIRS), 3), np.float32)
    assert np.abs(scores.sum(axis=1) - 1).max() < 1e-6
    assert scores.min() >= 0
    assert len(set(scores.argmax(axis=1))) == 3, "the tiny model must use every label, or the tests below prove little"


def test_no_headline_gives_no_row(scorer: OnnxScorer) -> None:
    assert scorer.score([]).shape == (0, 3)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(len(PAIRS))), st.integers(1, len(PAIRS)))
def test_the_order_of_input_does_not_matter(scorer: OnnxScorer, order: list[int], count: int) -> None:
    chosen = sorted(order[:count])
    shuffled = [i for i in order if i in set(chosen)]
    straight = scorer.score([PAIRS[i] for i in chosen])
    assert np.array_equal(scorer.score([PAIRS[i] for i in shuffled]), straight[[chosen.index(i) for i in shuffled]])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(PAIRS + ODD_PAIRS), min_size=1, max_size=40))
def test_neighbours_do_not_matter(scorer: OnnxScorer, pairs: list[tuple[str, str]]) -> None:
    """Within 1e-5: float32 sums of another order, never a quantisation step."""
    alone = np.concatenate([scorer.score([pair]) for pair in pairs])
    assert np.abs(scorer.score(pairs) - alone).max() < 1e-5


def test_the_same_pair_twice_scores_the_same_to_the_last_bit(scorer: OnnxScorer) -> None:
    scores = scorer.score([*PAIRS, *PAIRS])
    assert np.array_equal(scores[: len(PAIRS)], scores[len(PAIRS) :])


def test_the_company_matters(scorer: OnnxScorer) -> None:
    first, second, none = scorer.score(
        [("profit falls", "Acme"), ("profit falls", "Zenith Corp"), ("profit falls", "")]
    )
    assert not np.allclose(first, second, atol=1e-3)
    assert not np.allclose(first, none, atol=1e-3)


def test_threads_and_batch_size_do_not_matter(made: Made, scorer: OnnxScorer) -> None:
    other = OnnxScorer(made.folder, threads=2, batch_tokens=4096)
    assert np.abs(other.score(PAIRS) - scorer.score(PAIRS)).max() < 1e-5


def test_tokens_are_those_of_training(made: Made, scorer: OnnxScorer) -> None:
    """The run's tokenizer file asks for padding to 64; training tokenises lists, without padding, "" for no company.

    Lists, because a single call drops an empty second segment, and a list keeps it: [CLS] headline [SEP] [SEP].
    """
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(made.run)
    pairs = [*PAIRS, *ODD_PAIRS]
    expected = theirs(*map(list, zip(*pairs, strict=True)), truncation="longest_first", max_length=MAX_LENGTH)
    for i, found in enumerate(scorer._tokenizer.encode_batch(pairs)):
        assert (found.ids, found.type_ids) == (expected["input_ids"][i], expected["token_type_ids"][i]), pairs[i]
        assert len(found.ids) <= MAX_LENGTH


@given(st.lists(st.integers(1, 70), max_size=60), st.integers(1, 200))
def test_batches_hold_every_pair_once_within_the_budget(lengths: list[int], budget: int) -> None:
    pairs = [((i,) * length, (0,) * length) for i, length in enumerate(sorted(lengths))]
    batches = list(plan_batches(pairs, budget))
    assert [pair for batch in batches for pair in batch] == pairs
    assert all(len(batch) == 1 or len(batch) * max(len(ids) for ids, _ in batch) <= budget for batch in batches)


def test_large_logits_do_not_overflow() -> None:
    assert softmax(np.array([[1e4, 0, -1e4]], np.float32)).tolist() == [[1, 0, 0]]


def test_the_revision_is_the_folders(made: Made, scorer: OnnxScorer) -> None:
    assert scorer.revision == read_json(made.folder / PROVENANCE)["revision"]


def test_progress_counts_distinct_pairs_on_stderr(scorer: OnnxScorer, capsys: pytest.CaptureFixture[str]) -> None:
    scorer.score([*PAIRS, *PAIRS], progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith(f"\rscored {len(set(PAIRS))} of {len(set(PAIRS))}\n")


def rewrite_graph(made: Made, folder: Path, change: Callable[[onnx.GraphProto], object]) -> Path:
    """Write the model with its graph changed, sealed again."""
    import onnx

    shutil.copytree(made.folder, folder)
    model = onnx.load(folder / ONNX_FILE)
    change(model.graph)
    onnx.save(model, folder / ONNX_FILE)
    write_provenance(folder, read_json(folder / PROVENANCE))
    return folder


def fix_input(graph: onnx.GraphProto, name: str) -> None:
    """Make the graph compute the input ``name`` itself: zeros in the shape of input_ids."""
    from onnx import helper

    kept = [found for found in graph.input if found.name != name]
    del graph.input[:]
    graph.input.extend(kept)
    nodes = [*graph.node]
    del graph.node[:]
    graph.node.extend([helper.make_node("Sub", ["input_ids", "input_ids"], [name]), *nodes])


def test_a_graph_is_fed_only_what_it_asks_for(made: Made, tmp_path: Path, scorer: OnnxScorer) -> None:
    folder = rewrite_graph(made, tmp_path / "model", lambda graph: fix_input(graph, "token_type_ids"))
    scores, whole = OnnxScorer(folder).score(PAIRS), scorer.score(PAIRS)
    assert np.abs(scores.sum(axis=1) - 1).max() < 1e-6
    assert np.abs(scores - whole).max() > 1e-4, "the segments count, so leaving them out must show"


def test_a_graph_without_a_mask_is_refused(made: Made, tmp_path: Path) -> None:
    folder = rewrite_graph(made, tmp_path / "model", lambda graph: fix_input(graph, "attention_mask"))
    with pytest.raises(ModelError, match="inputs are input_ids, token_type_ids; expected input_ids, attention_mask"):
        OnnxScorer(folder)


@pytest.mark.parametrize(("token", "expected"), [(3, 3), (None, 0)])
def test_rows_are_filled_with_the_models_own_padding(made: Made, tmp_path: Path, token: object, expected: int) -> None:
    folder = tmp_path / "model"
    shutil.copytree(made.folder, folder)
    config = read_json(folder / "config.json")
    (folder / "config.json").write_text(json.dumps({**config, "pad_token_id": token}))
    write_provenance(folder, read_json(folder / PROVENANCE))
    scorer, fed = OnnxScorer(folder), []
    run = scorer._session.run
    scorer._session = SimpleNamespace(run=lambda _, inputs: fed.append(inputs) or run(None, inputs))
    scorer.score([("profit", ""), ("profit falls and falls", "Acme")])
    (inputs,) = fed
    assert set(inputs["input_ids"][inputs["attention_mask"] == 0]) == {expected}


def test_a_graph_with_foreign_inputs_is_refused(made: Made, tmp_path: Path) -> None:
    def rename(graph: onnx.GraphProto) -> None:
        graph.input[0].name = "pixels"
        for node in graph.node:
            node.input[:] = ["pixels" if name == "input_ids" else name for name in node.input]

    folder = rewrite_graph(made, tmp_path / "model", rename)
    with pytest.raises(ModelError, match="inputs are attention_mask, pixels, token_type_ids; expected input_ids"):
        OnnxScorer(folder)
