"""The model folder in transformers' own pipeline, by optimum: the same probabilities as the daily line's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.text import LABELS

from .conftest import MODEL, PAIRS

TOLERANCE = 1e-4


def load_pipeline(folder: Path) -> Any:
    """Return the pipeline over a model folder, loaded as its card says."""
    from optimum.onnxruntime import ORTModelForSequenceClassification
    from transformers import AutoTokenizer, pipeline

    model = ORTModelForSequenceClassification.from_pretrained(
        folder, subfolder="onnx", file_name="model_quantized.onnx", local_files_only=True
    )
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None, truncation=True)


def score_with(classify: Any, batch_size: int) -> np.ndarray:
    """Return PAIRS' probabilities in LABELS order; a blank stands for no company, as the card says."""
    rows = classify([{"text": text, "text_pair": pair or " "} for text, pair in PAIRS], batch_size=batch_size)
    named = [{one["label"]: one["score"] for one in row} for row in rows]
    return np.array([[row[label] for label in LABELS] for row in named])


@pytest.fixture(scope="module")
def classify() -> Any:
    return load_pipeline(MODEL)


@pytest.mark.parametrize("batch_size", [1, 4, len(PAIRS)])
def test_it_answers_in_the_transformers_pipeline_alone_and_in_padded_batches(
    classify: Any, expected: np.ndarray, batch_size: int
) -> None:
    assert np.abs(score_with(classify, batch_size) - expected).max() < TOLERANCE


def test_the_pairs_tell_something(expected: np.ndarray) -> None:
    """Every label is given, both sides of a headline differ, and so does leaving the company out."""
    assert set(expected.argmax(axis=1)) == {0, 1, 2}
    assert np.abs(expected[0] - expected[1]).max() > 10 * TOLERANCE
