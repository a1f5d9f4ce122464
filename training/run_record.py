"""A run folder -> the compact record that is compared and kept: its figures and which test rows it has right.

A record holds neither text nor label, so it may be committed where the data may not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import ModelError
from pipeline.model_folder import METRICS, PROVENANCE, RECIPE, check_hashes, read_json

from .predictions import PREDICTIONS, labels_of, probabilities_of, read_predictions
from .recipe import Recipe, load_recipe

IDENTITY = ("name", "seed", "base", "revision", "weight_sha256", "architecture")
"""Keys of a recipe that are none of its settings."""
BASELINES = ("majority", "vader")
PLACE_FIGURES = ("accuracy", "macro_f1", "weighted_f1", "ece", "nll", "brier")


@dataclass(frozen=True, slots=True)
class Run:
    """What is worth keeping of one run.

    ``base`` has id and revision, ``settings`` the recipe's sources and all its keys but IDENTITY. ``measures`` are on
    test, by place: the sources, "overall" and "mix". ``figures`` are r2 (FiQA's score), score_head_r2 where the model
    has such a head, ece (all test rows), wall_s, peak_rss_mib and peak_gpu_mib; a figure that was not measured is None.
    ``calibration`` is on validation. ``right`` has by source one digit per test row in order, 1 where the class is
    right.
    ``rows_sha256`` is over ids and labels of the test rows, ``splits`` are the fingerprints of all three splits.
    ``baselines`` has by place what BASELINES reach on test.
    """

    recipe: str
    seed: int
    base: Mapping[str, str]
    settings: Mapping[str, Any]
    measures: Mapping[str, Mapping[str, float]]
    figures: Mapping[str, float | None]
    calibration: Mapping[str, float]
    best_epoch: int
    device: str
    torch_threads: int
    libraries: Mapping[str, str]
    splits: Mapping[str, str]
    rows_sha256: str
    right: Mapping[str, str]
    baselines: Mapping[str, Mapping[str, Mapping[str, float]]]

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return f"{self.recipe}-seed{self.seed}"

    @property
    def test_sha256(self) -> str:
        """The fingerprint of the test rows."""
        return self.splits["test"]


def read_run(folder: Path) -> Run:
    """Return the record of a finished run folder.

    Raises:
        PipelineError: a file is missing, changed or damaged, or lacks a key; one line naming it.
    """
    provenance = read_json(folder / PROVENANCE)
    check_hashes(folder, provenance, (METRICS, PREDICTIONS, RECIPE))
    metrics, recipe, table = read_json(folder / METRICS), load_recipe(folder / RECIPE), read_test(folder)
    is_right = probabilities_of(table).argmax(axis=1) == labels_of(table)
    right = {source: _digits(is_right[table["source"] == source]) for source in table["source"].unique()}
    try:
        model = metrics["test"]["model"]
        return Run(
            recipe=recipe.name,
            seed=recipe.seed,
            base={key: provenance["base"][key] for key in ("id", "revision")},
            settings={"sources": list(recipe.sources)} | _list_settings(recipe),
            measures={place: _read_place(model[place]) for place in dict.fromkeys((*model, "overall", *right))},
            figures=_read_figures(metrics),
            calibration=metrics["calibration"],
            best_epoch=metrics["best_epoch"],
            device=str(provenance["device"]),
            torch_threads=provenance["torch_threads"],
            libraries=provenance["libraries"],
            splits={name: provenance["splits"][name] for name in ("train", "validation", "test")},
            rows_sha256=_hash_rows(table),
            right=right,
            baselines={place: _read_baselines(metrics["test"]["baselines"], place) for place in model},
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        found = f"has no {error}" if isinstance(error, KeyError) else f"is malformed ({error})"
        raise ModelError(
            f"{folder}: {METRICS} or {PROVENANCE} {found}; expected a folder written by `python -m training train`"
        ) from error


def read_outcome(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return true and predicted classes of a run's test rows, both int (n,), indices into LABELS."""
    table = read_test(folder)
    return labels_of(table), probabilities_of(table).argmax(axis=1)


def read_test(folder: Path) -> pd.DataFrame:
    """Return the test rows of a run's predictions, in order.

    Raises:
        ModelError: predictions.csv is missing (published folders lack it), damaged or without a test row.
    """
    table = read_predictions(folder / PREDICTIONS)
    table = table[table["split"] == "test"].reset_index(drop=True)
    if table.empty:
        raise ModelError(f"{folder / PREDICTIONS}: split has no 'test'; expected at least one test row")
    return table


def store_records(runs: Iterable[Run], folder: Path) -> None:
    """Write one JSON file per run into ``folder``, named after it, and remove the records of all other runs.

    The same run gives the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {folder / f"{run.name}.json": json.dumps(asdict(run), indent=1) + "\n" for run in runs}
    for path in set(list_records(folder)) - paths.keys():
        path.unlink()
    for path, content in paths.items():
        path.write_text(content, encoding="utf-8")


def list_records(folder: Path) -> list[Path]:
    """Return the files of :func:`store_records` in ``folder``, by name."""
    return sorted(folder.glob("*-seed*.json"))


def load_records(paths: Sequence[Path]) -> list[Run]:
    """Return the runs of :func:`store_records`' files.

    Raises:
        ModelError: a file cannot be read, or lacks a key or has one too many.
    """
    names = {field.name for field in fields(Run)}
    runs = []
    for path in paths:
        record = read_json(path)
        if record.keys() != names:
            raise ModelError(f"{path}: keys {', '.join(sorted(names ^ record.keys()))} missing or unknown")
        runs.append(Run(**record))
    return runs


def _list_settings(recipe: Recipe) -> dict[str, Any]:
    return {key: value for key, value in asdict(recipe).items() if key not in IDENTITY}


def _read_place(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the PLACE_FIGURES among ``values``; the mix has the first two alone, which every place must have."""
    needed = {key: float(values[key]) for key in PLACE_FIGURES[:2]}
    return needed | {key: float(values[key]) for key in PLACE_FIGURES[2:] if key in values}


def _read_figures(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    model = metrics["test"]["model"]
    return {
        "r2": model.get("fiqa", {}).get("score", {}).get("r2"),
        "score_head_r2": (metrics.get("score_head") or {}).get("r2"),
        "ece": model["overall"]["ece"],
        "wall_s": metrics["wall_s"],
        "peak_rss_mib": metrics["peak_rss_mib"],
        "peak_gpu_mib": metrics.get("peak_gpu_mib"),
    }


def _read_baselines(baselines: Mapping[str, Any], place: str) -> dict[str, dict[str, float]]:
    return {name: {key: baselines[name][place][key] for key in ("accuracy", "macro_f1")} for name in BASELINES}


def _hash_rows(table: pd.DataFrame) -> str:
    rows = "\n".join(f"{row_id} {label}" for row_id, label in zip(table["id"], table["label"], strict=True))
    return hashlib.sha256(rows.encode()).hexdigest()


def _digits(is_right: np.ndarray) -> str:
    return "".join("1" if right else "0" for right in is_right)
