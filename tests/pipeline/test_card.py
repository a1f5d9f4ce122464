"""The card of a model folder: every figure on it was in the folder, and what was not measured says so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.card import (
    BEHAVIOUR,
    SPEED,
    add_metrics,
    format_behaviour,
    format_kind,
    format_speed,
    format_weakness,
    render_card,
)
from pipeline.config import HOME
from pipeline.model_folder import METRICS, TOKENIZER_CONFIG, read_json, read_model_folder

SPEED_FIGURES: dict[str, Any] = {
    "headlines_per_s": 1234.5,
    "row_count": 10000,
    "mean_token_count": 20.25,
    "thread_count": 2,
    "baseline": "made pipeline",
    "baseline_ratio": 31.25,
    "limit_share": 0.4,
    "first_score_s": 0.456,
    "peak_mb": 210.6,
    "processor": "Made Chip",
    "instructions": ["avx2"],
    "onnxruntime": "0.0.1",
    "measured_on": "2026-01-05",
}
BEHAVIOUR_FIGURES: dict[str, Any] = {
    "negation": {"row_count": 4, "accuracy": 0.75, "accuracy_interval": [0.3, 0.95], "pair_count": 2,
                 "pair_accuracy": 0.5, "pair_accuracy_interval": [0.09, 0.91]},
    "facts": {"row_count": 20, "accuracy": 0.9},
    "overall": {"row_count": 24, "accuracy": 0.1},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped model without figures of speed and behaviour."""
    copy = Path(shutil.copytree(HOME / "default_model", tmp_path / "model"))
    kept = {key: value for key, value in read_json(copy / METRICS).items() if key not in (SPEED, BEHAVIOUR)}
    (copy / METRICS).write_text(json.dumps(kept))
    return copy


def test_what_is_measured_later_is_put_on_the_card_and_sealed(folder: Path) -> None:
    add_metrics(folder, SPEED, SPEED_FIGURES)
    text = (folder / "README.md").read_text()
    assert "## Speed\n\n1,234 headlines a second" in text
    assert "emoji are read as words that were chosen by hand.\n\nNot measured." in text
    add_metrics(folder, BEHAVIOUR, BEHAVIOUR_FIGURES)
    text = (folder / "README.md").read_text()
    assert "| facts | 20 | 0.90 |  |  |" in text
    assert "1,234 headlines a second" in text
    assert "$" not in text.replace("$2", "")
    read_model_folder(folder)


def test_the_card_of_a_model_with_marks_says_how_to_set_them(folder: Path) -> None:
    render_card(folder)
    assert "* Example Corp *" not in (folder / "README.md").read_text()
    settings = read_json(folder / TOKENIZER_CONFIG)
    (folder / TOKENIZER_CONFIG).write_text(json.dumps({**settings, "mark_company": True}))
    render_card(folder)
    assert 'write "* Example Corp * beats estimates": it was trained so' in (folder / "README.md").read_text()


def test_speed_says_on_what_and_beside_what() -> None:
    assert format_speed(SPEED_FIGURES) == (
        "1,234 headlines a second (10,000 in one call, 20.2 tokens on average, 2 threads), 31.2 times a made pipeline "
        "in the same run; first score 0.46 s after the start of a process, at most 211 MB for all of them. Measured on "
        "2026-01-05, Made Chip (avx2), onnxruntime 0.0.1."
    )
    assert format_speed(None) == "Not measured."


def test_a_capability_has_pairs_only_where_some_were_written() -> None:
    assert format_behaviour(BEHAVIOUR_FIGURES).splitlines()[2:] == [
        "| negation | 4 | 0.75 (0.30-0.95) | 2 | 0.50 (0.09-0.91) |",
        "| facts | 20 | 0.90 |  |  |",
        "| overall | 24 | 0.10 |  |  |",
    ]
    assert format_behaviour({}) == "Not measured."


def test_the_weakest_are_named_and_the_total_is_none_of_them() -> None:
    assert format_weakness(BEHAVIOUR_FIGURES).startswith("Weakest, of what was tried: negation (0.75 right), facts (0.")
    assert format_weakness(None).startswith("Not examined: sarcasm, comparisons")


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({}, "fine-tuned with LoRA, merged, exported"),
        ({"method": "full"}, "every weight trained, exported"),
        ({"method": "full", "teachers": ["a"]}, "trained on labels and on what another model says, exported"),
        ({"method": "full", "teachers": ["a", "b"]}, "every weight trained on labels and on what 2 other models say"),
    ],
)
def test_the_kind_follows_from_recipe_and_configuration(recipe: dict[str, Any], words: str) -> None:
    text = format_kind({"num_hidden_layers": 3, "hidden_size": 384}, recipe, "package:some-encoder")
    assert words in text
    assert "(some-encoder; 3 layers of 384)" in text
