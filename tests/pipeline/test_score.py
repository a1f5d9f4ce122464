"""Scores are a function of the pair alone, to the last bit: not of its neighbours, its place or the threads."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ModelError
from pipeline.model_folder import ONNX_FILE, PROVENANCE, TOKENIZER_CONFIG, read_json, write_json, write_provenance
from pipeline.score import OnnxScorer, plan_batches, softmax, tokenize

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


@pytest.fixture(scope="module", params=["as exported", "int8 products"])
def scorer(request: pytest.FixtureRequest, made: Made, tmp_path_factory: pytest.TempPathFactory) -> OnnxScorer:
    """The tiny model as its gate let it pass, in float32 arithmetic, and in the int8 that a real model ships with."""
    if request.param == "as exported":
        return OnnxScorer(made.folder, threads=1, batch_tokens=64)
    import onnx

    from pipeline.export import convert_to_onnx, load_trained
    from pipeline.quantize import FAST, quantize_model

    folder = tmp_path_factory.mktemp("int8") / "model"
    shutil.copytree(made.folder, folder)
    texts = tokenize(folder, PAIRS)
    model, way = next(quantize_model(convert_to_onnx(load_trained(made.run, made.base)), texts))
    assert way == FAST
    onnx.save(model, folder / ONNX_FILE)
    write_provenance(folder, read_json(folder / PROVENANCE))
    return OnnxScorer(folder, threads=1, batch_tokens=64)


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
def test_neighbours_do_not_matter_to_the_last_bit(scorer: OnnxScorer, pairs: list[tuple[str, str]]) -> None:
    alone = np.concatenate([scorer.score([pair]) for pair in pairs])
    assert np.array_equal(scorer.score(pairs), alone)


def test_the_same_pair_twice_scores_the_same_to_the_last_bit(scorer: OnnxScorer) -> None:
    scores = scorer.score([*PAIRS, *PAIRS])
    assert np.array_equal(scores[: len(PAIRS)], scores[len(PAIRS) :])


def test_the_company_matters(scorer: OnnxScorer) -> None:
    first, second, none = scorer.score(
        [("profit falls", "Acme"), ("profit falls", "Zenith Corp"), ("profit falls", "")]
    )
    assert not np.allclose(first, second, atol=1e-3)
    assert not np.allclose(first, none, atol=1e-3)


@pytest.mark.parametrize(("threads", "batch_tokens"), [(0, 1024), (1, 1), (1, 100_000), (2, 64), (3, 4096)])
def test_threads_and_batch_size_do_not_matter(scorer: OnnxScorer, threads: int, batch_tokens: int) -> None:
    other = OnnxScorer(scorer.folder.path, threads, batch_tokens)
    assert np.array_equal(other.score(PAIRS), scorer.score(PAIRS))


def test_a_stream_scores_like_a_list_and_reads_one_window_ahead(scorer: OnnxScorer) -> None:
    read = []

    def endless() -> Iterator[tuple[str, str]]:
        for pair in itertools.cycle(PAIRS):
            read.append(pair)
            yield pair

    stream = scorer.score_stream(endless(), window=7)
    assert read == []
    found = list(itertools.islice(stream, 100))
    assert len(read) == 105
    expected = scorer.score(PAIRS)
    assert all(np.array_equal(row, expected[i % len(PAIRS)]) for i, row in enumerate(found))


def test_a_model_that_looks_for_marks_gets_them(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(made.folder, folder)
    settings = read_json(folder / TOKENIZER_CONFIG)
    write_json(folder / TOKENIZER_CONFIG, {**settings, "mark_company": True})
    write_provenance(folder, read_json(folder / PROVENANCE))
    pairs = [("loss at Acme falls", "Acme"), ("Acme profit", ""), ("record deal", "Acme")]
    by_hand = [("loss at * Acme * falls", "Acme"), *pairs[1:]]
    plain, marked = OnnxScorer(made.folder), OnnxScorer(folder)
    assert np.array_equal(marked.score(pairs), plain.score(by_hand))
    assert not np.array_equal(marked.score(pairs)[0], plain.score(pairs)[0])
    assert tokenize(folder, pairs) == tokenize(made.folder, by_hand)


def test_an_empty_stream_gives_nothing(scorer: OnnxScorer) -> None:
    assert list(scorer.score_stream(iter([]))) == []


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
    assert all(len({len(ids) for ids, _ in batch}) == 1 for batch in batches)
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


def test_nothing_is_padded(made: Made) -> None:
    """Texts of one length make a batch: no float sum runs over a number of zeros that the neighbours decide."""
    scorer, fed = OnnxScorer(made.folder, threads=1), []
    run = scorer._session.run
    scorer._session = SimpleNamespace(run=lambda _, inputs: fed.append(inputs) or run(None, inputs))
    scorer.score([*PAIRS, *ODD_PAIRS])
    distinct = {tuple(encoding.ids) for encoding in scorer._tokenizer.encode_batch([*PAIRS, *ODD_PAIRS])}
    assert sum(len(inputs["input_ids"]) for inputs in fed) == len(distinct)
    assert all(inputs["attention_mask"].all() for inputs in fed)


def test_a_graph_with_foreign_inputs_is_refused(made: Made, tmp_path: Path) -> None:
    def rename(graph: onnx.GraphProto) -> None:
        graph.input[0].name = "pixels"
        for node in graph.node:
            node.input[:] = ["pixels" if name == "input_ids" else name for name in node.input]

    folder = rewrite_graph(made, tmp_path / "model", rename)
    with pytest.raises(ModelError, match="inputs are attention_mask, pixels, token_type_ids; expected input_ids"):
        OnnxScorer(folder)
