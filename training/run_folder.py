"""A trained model, its measures and predictions -> one run folder, complete or absent. Writes no absolute path."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from pipeline.errors import ModelError
from pipeline.model_folder import METRICS, PROVENANCE, RECIPE, hash_file, read_json, write_json, write_provenance

from .bases import Base, name_base, open_base, open_teachers
from .contamination import find_contamination
from .corpus import split_name
from .data import describe_data
from .encoder_recipe import EncoderRecipe
from .measure import Probabilities
from .model import Model, save_model
from .predictions import PREDICTIONS, write_predictions
from .readers import DataSource
from .recipe import ENCODER, MODEL, RUN, Recipe, format_recipe
from .rows import Rows
from .teacher import check_splits, describe_teacher

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
    """Return where the model comes from: base, data, splits, teachers, contamination, libraries, seed and machine.

    ``base`` is what was published: of a base of ours the one that it was made from, and ``encoder`` or ``start`` says
    how (None without one). ``contamination`` is that of the base, then what the start and the teachers add.

    Raises:
        ModelError: a teacher, the encoder or the start is refused.
    """
    with open_teachers(recipe.teachers) as folders:
        named = zip(recipe.teachers, folders, strict=True)
        teachers = [describe_teacher(f"teacher {name}", folder, rows) for name, folder in named]
    encoder = describe_encoder(recipe.base, rows.fingerprints)
    start = describe_start(name_base(recipe), rows)
    base = (encoder or start or {"base": describe_base(recipe)})["base"]
    known = find_contamination(base["id"], rows.examples, rows.splits)
    for model in [*([start] if start else []), *teachers]:
        known += [one for one in model["contamination"] if one not in known]
    return {
        "base": base,
        "encoder": encoder,
        "start": start,
        "recipe": recipe.name,
        "seed": recipe.seed,
        "max_length": recipe.max_length,
        "data": describe_data(data, rows.examples),
        "splits": rows.fingerprints,
        "teachers": teachers,
        "unlabelled": describe_unlabelled(recipe, data),
        "contamination": known,
        **describe_libraries(device),
        "processes": processes,
    }


def describe_base(recipe: Recipe | EncoderRecipe) -> dict[str, str]:
    """Return {"id", "revision", "weight_sha256", "architecture"} of the recipe's base."""
    return asdict(Base(recipe.base, recipe.revision, recipe.weight_sha256, recipe.architecture))


def describe_encoder(base: str, fingerprints: Mapping[str, str]) -> dict[str, Any] | None:
    """Return {"sha256", "base", "corpus"} of the encoder of ours that ``base`` names, None for any other base.

    Raises:
        ModelError: it is not there, has changed, or may have read our held-out rows.
    """
    if not base.startswith(ENCODER):
        return None
    with open_base(Base(base, "", "", "")) as folder:
        record = read_json(folder / PROVENANCE)
        if not isinstance(record.get("corpus"), dict):
            raise ModelError(f"base {base}: records no corpus; expected a folder of `python -m training pretrain`")
        check_splits(f"base {base}", record, fingerprints)
        return {"sha256": hash_file(folder / PROVENANCE), "base": record["base"], "corpus": record["corpus"]}


def describe_start(base: Base, rows: Rows) -> dict[str, Any] | None:
    """Return what ``base``, a run or model of ours, is, as of a teacher (:func:`describe_teacher`); None for any other.

    Raises:
        ModelError: it is not there, has changed, or may have learned from our held-out rows.
    """
    if not base.id.startswith((RUN, MODEL)):
        return None
    with open_base(base) as folder:
        return describe_teacher(f"base {base.id}", folder, rows)


def describe_unlabelled(recipe: Recipe, data: DataSource) -> dict[str, str]:
    """Return the SHA-256 of every file of unlabelled texts."""
    files = sorted({split_name(name)[0] for name in recipe.unlabelled})
    return {file: hash_file(data.find_file(file)) for file in files}


def describe_libraries(device: torch.device) -> dict[str, Any]:
    """Return {"libraries", "torch_threads", "device"}: what numbers hang on beside recipe and data."""
    return {
        "libraries": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "torch_threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
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
