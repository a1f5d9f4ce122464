"""A trained model and its measures -> one published folder, complete or absent. Writes no absolute path."""

from __future__ import annotations

import os
import platform
import resource
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedTokenizerFast

from pipeline.model_folder import PROVENANCE, hash_file, write_json

from .data import hash_files
from .model import save_model
from .recipe import Recipe

LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "safetensors", "numpy")


def publish_run(
    folder: Path,
    recipe_file: bytes,
    recipe: Recipe,
    model: PeftModel,
    tokenizer: PreTrainedTokenizerFast,
    root: Path,
    metrics: dict[str, Any],
    wall_s: float,
) -> Path:
    """Write the run folder under a temporary name, then rename it to ``folder``; return ``folder``.

    It holds adapter_model.safetensors, adapter_config.json, config.json, the tokenizer, an exact copy of the recipe,
    metrics.json, and provenance.json with the SHA-256 of every other file.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unfinished-") as unfinished:
        place = Path(unfinished) / folder.name
        place.mkdir()
        save_model(model, tokenizer, recipe, place)
        (place / "recipe.toml").write_bytes(recipe_file)
        cost = {"wall_s": round(wall_s, 1), "peak_rss_mib": round(peak_rss_mib(), 1)}
        write_json(place / "metrics.json", {"seed": recipe.seed, **cost, **metrics})
        write_json(place / PROVENANCE, describe_run(recipe, root, place))
        os.replace(place, folder)
    return folder


def describe_run(recipe: Recipe, root: Path, folder: Path) -> dict[str, Any]:
    """Return where the model came from: base, data, libraries, seed, and the SHA-256 of every file in ``folder``."""
    return {
        "base": {"id": recipe.base, "revision": recipe.revision, "weight_sha256": recipe.weight_sha256},
        "recipe": recipe.name,
        "seed": recipe.seed,
        "max_length": recipe.max_length,
        "data_files": hash_files(root, recipe.sources),
        "libraries": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "torch_threads": torch.get_num_threads(),
        "files": {
            path.relative_to(folder).as_posix(): hash_file(path) for path in sorted(folder.rglob("*")) if path.is_file()
        },
    }


def peak_rss_mib() -> float:
    """Return the largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)
