"""A model folder -> measures on the test rows. Reads a run folder (torch) or an exported one (onnxruntime)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import ModelError, PipelineError
from pipeline.model_folder import ADAPTER_WEIGHTS, FULL_WEIGHTS, METRICS, ONNX_FILE, PROVENANCE, read_json

from .contamination import find_contamination
from .data import Example, describe_data, load_examples
from .readers import DataSource
from .results import compare_model
from .splits import SPLIT_SEED, fingerprint_splits, split_examples


def evaluate_folder(folder: Path, data: DataSource) -> dict[str, Any]:
    """Return :func:`compare_model` of the model in ``folder`` on the test rows of all four sources of ``data``.

    Its baselines include "zero_shot" where the folder records one on these very rows, since the base is not at hand.
    Beside it: "changed", the sources whose rows are not those the folder records, and "is_same_test", whether the
    test rows are: if not, it may have been trained on some of them. Both are None when the folder has no such record.
    "contamination" is what its base and its teachers are known to have seen (None: base unknown), "calibration" the
    folder's own record.

    Raises:
        ModelError: the folder holds no model this project can score with.
    """
    score, record, metrics = load_scorer(folder), _read_record(folder, PROVENANCE), _read_record(folder, METRICS)
    examples = load_examples(data)
    splits = split_examples(examples, SPLIT_SEED)
    rows = [examples[i] for i in splits.test]
    base = record.get("base", {}).get("id")
    origin: dict[str, Any] = {
        "changed": find_changed(record, describe_data(data, examples)),
        "is_same_test": match_test(record, fingerprint_splits(examples, splits)),
        "contamination": None if base is None else join_known(find_contamination(base, examples, splits), record),
        "calibration": metrics.get("calibration"),
    }
    results = compare_model([examples[i] for i in splits.train], rows, score(rows))
    if origin["is_same_test"] and origin["changed"] == []:
        results["baselines"] |= find_zero_shot(metrics)
    return origin | results


def load_scorer(folder: Path) -> Callable[[Sequence[Example]], np.ndarray]:
    """Return a function from examples to float32 (n, 3) probabilities; an exported model is preferred over a run."""
    if (folder / ONNX_FILE).is_file():
        return _load_onnx(folder)
    if any((folder / name).is_file() for name in (ADAPTER_WEIGHTS, FULL_WEIGHTS)):
        return _load_torch(folder)
    raise ModelError(
        f"{folder}: none of {ONNX_FILE}, {ADAPTER_WEIGHTS}, {FULL_WEIGHTS} found; "
        "expected a run folder or an exported one"
    )


def find_changed(record: Mapping[str, Any], data: Mapping[str, Mapping[str, Any]]) -> list[str] | None:
    """Return the sources whose rows' SHA-256 in ``data`` is not that of ``record``; None if it has no "data"."""
    known = record.get("data")
    if known is None:
        return None
    return [source for source, facts in data.items() if known.get(source, {}).get("sha256") != facts["sha256"]]


def match_test(record: Mapping[str, Any], fingerprints: Mapping[str, str]) -> bool | None:
    """Say whether the test rows are those of ``record``; None if it has no "splits"."""
    known = record.get("splits")
    return None if known is None else bool(known.get("test") == fingerprints["test"])


def join_known(known: list[dict[str, Any]], record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what is ``known`` of the base, then what ``record`` says of the teachers beyond that."""
    for teacher in record.get("teachers") or ():
        known = known + [one for one in teacher["contamination"] if one not in known]
    return known


def find_zero_shot(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return {"zero_shot": its measures on the test rows} of a run's ``metrics``; {} where it recorded none."""
    baselines = metrics.get("test", {}).get("baselines", {})
    return {name: found for name, found in baselines.items() if name == "zero_shot"}


def _read_record(folder: Path, name: str) -> dict[str, Any]:
    return read_json(folder / name) if (folder / name).is_file() else {}


def _load_onnx(folder: Path) -> Callable[[Sequence[Example]], np.ndarray]:
    try:
        from pipeline.score import OnnxScorer
    except ImportError as error:
        raise PipelineError(f"scoring an exported model needs onnxruntime and tokenizers: {error}") from error
    scorer = OnnxScorer(folder)
    return lambda examples: scorer.score([(row.text, row.target) for row in examples], sys.stderr.isatty())


def _load_torch(folder: Path) -> Callable[[Sequence[Example]], np.ndarray]:
    from .batches import encode_examples, predict_probabilities
    from .model import load_run

    model, tokenizer, max_length = load_run(folder)

    def score(examples: Sequence[Example]) -> np.ndarray:
        encoded = encode_examples(examples, tokenizer, max_length)
        return predict_probabilities(model, tokenizer, encoded).numpy()

    return score
