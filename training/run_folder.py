"""A trained model, its measures and predictions -> one run folder, complete or absent. Writes no absolute path."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from pipeline.model_folder import METRICS, RECIPE, write_json, write_provenance

from .contamination import find_contamination
from .data import describe_data
from .measure import Probabilities
from .model import Model, save_model
from .predictions import PREDICTIONS, write_predictions
from .readers import DataSource
from .recipe import Recipe, format_recipe
from .rows import Rows
from .teacher import describe_teacher

LIBRARIES = ("torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors", "numpy")


def write_run(
    folder: Path,
    unfinished: Path,
    recipe: Recipe,
    model: Model,
    tokenizer: PreTrainedTokenizerFast,
    rows: Rows,
    metrics: Mapping[str, Any],
    probabilities: Probabilities,
    provenance: Mapping[str, Any],
) -> None:
    """Write the run folder inside ``unfinished``, rename it to ``folder``, then remove ``unfinished``.

    It holds the weights with their configuration, the tokenizer, the effective recipe, metrics.json, predictions.csv
    of the validation and test rows, and provenance.json with the SHA-256 of every other file.
    """
    place = unfinished / "run"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    save_model(model, tokenizer, recipe, place)
    (place / RECIPE).write_text(format_recipe(recipe), encoding="utf-8")
    write_json(place / METRICS, metrics)
    held = {"validation": rows.validation, "test": rows.test}
    write_predictions(place / PREDICTIONS, held, probabilities)
    write_provenance(place, provenance)
    os.replace(place, folder)
    shutil.rmtree(unfinished)


def describe_run(recipe: Recipe, data: DataSource, rows: Rows, device: torch.device, processes: int) -> dict[str, Any]:
    """Return where the model comes from: base, data, splits, teacher, contamination, libraries, seed and machine.

    ``teacher`` is None without one; ``contamination`` is that of the base, then what the teacher adds.

    Raises:
        ModelError: the teacher is refused.
    """
    is_gpu = device.type == "cuda"
    teacher = describe_teacher(Path(recipe.teacher), rows) if recipe.teacher else None
    known = find_contamination(recipe.base, rows.examples, rows.splits)
    known += [one for one in (teacher or {}).get("contamination", []) if one not in known]
    return {
        "base": {
            "id": recipe.base,
            "revision": recipe.revision,
            "weight_sha256": recipe.weight_sha256,
            "architecture": recipe.architecture,
        },
        "recipe": recipe.name,
        "seed": recipe.seed,
        "max_length": recipe.max_length,
        "data": describe_data(data, rows.examples),
        "splits": rows.fingerprints,
        "teacher": teacher,
        "contamination": known,
        "libraries": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "torch_threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if is_gpu else device.type,
        "processes": processes,
    }


def measure_cost(recipe: Recipe, wall_s: float) -> dict[str, Any]:
    """Return the seed and what the run cost: seconds over all its starts, and this process's peak memory in MiB.

    The GPU's peak is what torch had allocated on this process's device, None without one.
    """
    has_gpu = torch.cuda.is_available()
    return {
        "seed": recipe.seed,
        "wall_s": round(wall_s, 1),
        "peak_rss_mib": round(peak_rss_mib(), 1),
        "peak_gpu_mib": round(torch.cuda.max_memory_allocated() / 1024**2, 1) if has_gpu else None,
    }


def peak_rss_mib() -> float:
    """Return the largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)
