"""A model folder -> measures on the test rows. Reads a run folder (torch) or an exported one (onnxruntime)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import ModelError, PipelineError
from pipeline.model_folder import ONNX_FILE, PROVENANCE, read_json

from .data import SOURCES, Example, hash_files, load_examples
from .recipe import load_recipe
from .results import compare_model
from .splits import SPLIT_SEED, split_examples


def evaluate_folder(folder: Path, root: Path) -> dict[str, Any]:
    """Return :func:`compare_model` of the model in ``folder`` on the test rows under ``root``.

    "changed_files" lists data files that are not the ones the model was trained on: their test rows may then hold
    texts it has seen. None when the folder does not say what it was trained on.

    Raises:
        ModelError: the folder holds no model this project can score with.
    """
    score = load_scorer(folder)
    has_recipe = (folder / "recipe.toml").is_file()
    sources = load_recipe(folder / "recipe.toml").sources if has_recipe else SOURCES
    examples = load_examples(root, sources)
    splits = split_examples(examples, SPLIT_SEED)
    rows = [examples[i] for i in splits.test]
    results = compare_model([examples[i] for i in splits.train], rows, score(rows))
    return {"changed_files": find_changed(folder, hash_files(root, sources)), **results}


def load_scorer(folder: Path) -> Callable[[Sequence[Example]], np.ndarray]:
    """Return a function from examples to float32 (n, 3) probabilities; an exported model is preferred over a run."""
    if (folder / ONNX_FILE).is_file():
        return _load_onnx(folder)
    if (folder / "adapter_config.json").is_file():
        return _load_torch(folder)
    raise ModelError(f"{folder}: neither {ONNX_FILE} nor adapter_config.json found; expected a run or exported folder")


def find_changed(folder: Path, hashes: dict[str, str]) -> list[str] | None:
    """Return the data files whose SHA-256 is not the one in the folder's provenance.json; None without a record."""
    path = folder / PROVENANCE
    known = read_json(path).get("data_files") if path.is_file() else None
    return None if known is None else [file for file, digest in hashes.items() if known.get(file) != digest]


def _load_onnx(folder: Path) -> Callable[[Sequence[Example]], np.ndarray]:
    try:
        from pipeline.score import OnnxScorer
    except ImportError as error:
        raise PipelineError(f"scoring an exported model needs onnxruntime and tokenizers: {error}") from error
    scorer = OnnxScorer(folder)
    return lambda examples: scorer.score([(example.text, example.target) for example in examples])


def _load_torch(folder: Path) -> Callable[[Sequence[Example]], np.ndarray]:
    from .batches import encode_examples, predict_probabilities
    from .model import load_run

    model, tokenizer, recipe = load_run(folder)

    def score(examples: Sequence[Example]) -> np.ndarray:
        encoded = encode_examples(examples, tokenizer, recipe.max_length)
        return predict_probabilities(model, tokenizer, encoded).numpy()

    return score
