"""The contract of a model folder. No torch, no real model: what is checked here is the folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.model_folder import (
    GOLDEN,
    ONNX_FILE,
    PROVENANCE,
    check_golden,
    read_model_folder,
    replace_folder,
    write_golden,
    write_json,
    write_provenance,
)
from pipeline.text import LABELS

REVISION = "ab" * 20
PAIRS = [("Acme profit falls", "Acme"), ("Acme opens a plant", ""), ("Acme profit soars", "Acme")]
GOLDEN_SCORES = np.array([[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.02, 0.08, 0.9]])


def write_folder(path: Path, labels: Sequence[str] = LABELS) -> Path:
    (path / "onnx").mkdir(parents=True)
    (path / ONNX_FILE).write_bytes(b"a graph")
    write_json(path / "config.json", {"id2label": {str(i): name for i, name in enumerate(labels)}})
    write_json(path / "tokenizer.json", {})
    write_json(path / "tokenizer_config.json", {"model_max_length": 96})
    write_golden(path, PAIRS, GOLDEN_SCORES)
    write_provenance(path, {"revision": REVISION})
    return path


def reseal(path: Path, **facts: object) -> None:
    write_provenance(path, {"revision": REVISION, **facts})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "model")


def test_a_whole_folder_is_read(folder: Path) -> None:
    found = read_model_folder(folder)
    assert (found.path, found.onnx_path) == (folder, folder / ONNX_FILE)
    assert (found.max_length, found.revision, found.label_order) == (96, REVISION, (0, 1, 2))
    assert [(row.headline, row.company) for row in found.golden] == PAIRS


@pytest.mark.parametrize("labels", list(permutations(LABELS)))
def test_labels_are_found_by_name_in_any_order(tmp_path: Path, labels: tuple[str, ...]) -> None:
    order = read_model_folder(write_folder(tmp_path / "model", labels)).label_order
    assert tuple(labels[i] for i in order) == LABELS


def edit(name: str, content: object) -> Callable[[Path], None]:
    """Return a change to one file that leaves the seal whole."""

    def change(path: Path) -> None:
        write_json(path / name, content)
        reseal(path)

    return change


LABEL_FAULT = "expected 0, 1, 2 for negative, neutral, positive, in any order"
REFUSALS: list[tuple[str, Callable[[Path], None], str]] = [
    ("no model", lambda p: (p / ONNX_FILE).unlink(), "onnx/model_quantized.onnx is missing; expected a model folder"),
    ("no provenance", lambda p: (p / PROVENANCE).unlink(), "provenance.json is missing"),
    ("no golden", lambda p: (p / GOLDEN).unlink(), "golden.json is missing"),
    ("foreign", edit("config.json", {"id2label": {"0": "bearish", "1": "neutral", "2": "bullish"}}), LABEL_FAULT),
    ("default", edit("config.json", {"id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}}), LABEL_FAULT),
    ("capital", edit("config.json", {"id2label": {"0": "Negative", "1": "neutral", "2": "positive"}}), LABEL_FAULT),
    ("two", edit("config.json", {"id2label": {"0": "negative", "1": "positive"}}), LABEL_FAULT),
    ("doubled", edit("config.json", {"id2label": {"0": "negative", "1": "negative", "2": "positive"}}), LABEL_FAULT),
    ("gap", edit("config.json", {"id2label": {"0": "negative", "1": "neutral", "3": "positive"}}), LABEL_FAULT),
    ("none", edit("config.json", {}), LABEL_FAULT),
    ("list", edit("config.json", []), "config.json: holds a list; expected a JSON object"),
    ("code", edit("config.json", {"auto_map": {"AutoModel": "m.M"}}), "config.json has auto_map"),
    ("length", edit("tokenizer_config.json", {"model_max_length": 10**30}), "expected 8..512 tokens"),
    (
        "marks",
        edit("tokenizer_config.json", {"model_max_length": 96, "mark_company": "yes"}),
        "tokenizer_config.json: mark_company is 'yes'; expected true or false",
    ),
    ("changed", lambda p: (p / ONNX_FILE).write_bytes(b"another"), "onnx/model_quantized.onnx has SHA-256"),
    ("truncated", lambda p: (p / "config.json").write_text('{"id2'), "config.json: cannot be read as JSON"),
    ("pickle", lambda p: (p / "pytorch_model.bin").write_bytes(b""), "pytorch_model.bin may hold pickled code"),
    ("deep pickle", lambda p: (p / "onnx" / "extra.PT").write_bytes(b""), "onnx/extra.PT may hold pickled code"),
    ("branch", lambda p: reseal(p, revision="main"), "revision is 'main'; expected a commit of 40 hex digits"),
    ("no revision", lambda p: reseal(p, revision=None), "revision is None; expected a commit of 40 hex digits"),
    ("unlisted", lambda p: write_json(p / PROVENANCE, {"files": {}}), "no SHA-256 of config.json"),
    ("no table", lambda p: write_json(p / PROVENANCE, {}), "no table of files"),
    ("golden", edit(GOLDEN, [{"headline": "x"}]), "golden.json: expected a list of headline, company, probabilities"),
    ("golden two", edit(GOLDEN, [{"headline": "x", "company": "", "probabilities": [0.5, 0.5]}]), "3 probabilities"),
    ("golden empty", edit(GOLDEN, []), "expected at least one row"),
]


@pytest.mark.parametrize(("change", "message"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS])
def test_a_bad_folder_is_refused_in_one_line(folder: Path, change: Callable[[Path], None], message: str) -> None:
    change(folder)
    with pytest.raises(ModelError) as caught:
        read_model_folder(folder)
    assert message in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        read_model_folder(tmp_path / "nowhere")


def test_every_file_but_the_seal_is_hashed(folder: Path) -> None:
    (folder / "README.md").write_text("a card")
    reseal(folder)
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert set(json.loads((folder / PROVENANCE).read_text())["files"]) == names - {PROVENANCE}


def test_sealing_twice_writes_the_same_bytes(folder: Path) -> None:
    first = (folder / PROVENANCE).read_bytes()
    reseal(folder)
    assert (folder / PROVENANCE).read_bytes() == first


class FixedScorer:
    """Scores PAIRS as told."""

    revision = REVISION

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = scores

    def score(self, pairs: Sequence[tuple[str, str]], progress: bool = False) -> np.ndarray:
        assert list(pairs) == PAIRS
        return self.scores


def test_golden_scores_within_the_tolerance_pass(folder: Path) -> None:
    scores = GOLDEN_SCORES + [[0, 0, 0], [0.01, -0.01, 0], [0, 0, 0]]
    assert check_golden(FixedScorer(scores), read_model_folder(folder), 0.02) == pytest.approx(0.01)


@pytest.mark.parametrize("value", [0.13, float("nan")])
def test_the_worst_golden_headline_is_named(folder: Path, value: float) -> None:
    scores = GOLDEN_SCORES + [[0.015, -0.015, 0], [0, 0, 0], [0, 0, 0]]
    scores[1, 0] = value
    with pytest.raises(ModelError, match="'Acme opens a plant' .no company. scores .*, at export 0.100/0.800/0.100"):
        check_golden(FixedScorer(scores), read_model_folder(folder), 0.02)


def test_a_new_folder_replaces_the_old_one(tmp_path: Path, folder: Path) -> None:
    new = write_folder(tmp_path / "new", LABELS[::-1])
    replace_folder(new, folder)
    assert read_model_folder(folder).label_order == (2, 1, 0)
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_the_old_folder_returns_when_the_new_one_cannot_be_moved(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        replace_folder(tmp_path / "nowhere", folder)
    assert read_model_folder(folder).label_order == (0, 1, 2)
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
