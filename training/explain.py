"""A run folder and its data -> one HTML file: what the model gets wrong, why, and how far its figures can be trusted.

Reads predictions.csv and metrics.json, and runs the model only to explain the worst errors. Writes one local file that
holds texts of licensed sets; nothing in it is loaded from elsewhere, and the same run gives the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers.utils import logging

from pipeline.errors import ModelError, PipelineError
from pipeline.model_folder import METRICS, ONNX_FILE, PROVENANCE, read_json

from .data import load_examples
from .model import load_run
from .page.attribution import Explanation, explain_example, prepare_model
from .page.held_out import HeldRow, join_rows, pick_wrong
from .page.page import render_page
from .predictions import PREDICTIONS, read_predictions
from .readers import DataSource

WRITTEN_BY = "expected a run folder written by `python -m training train`"


@dataclass(frozen=True, slots=True)
class Run:
    """What a run folder says about itself, and its held-out rows with their texts."""

    name: str
    metrics: Mapping[str, Any]
    provenance: Mapping[str, Any]
    rows: tuple[HeldRow, ...]


def explain_run(folder: Path, data: DataSource, output: Path, per_source: int = 12) -> Path:
    """Write the page about the run in ``folder`` to ``output`` and return it; shows progress on stderr.

    ``per_source`` is how many of each source's wrong test rows are explained word by word, the most confident first.

    Raises:
        PipelineError: ``folder`` is no run folder, or one without predictions; the data is not what it was trained on;
            ``output`` cannot be written or lies in the run folder, which gets published.
    """
    check_output(folder, output)
    run = read_run(folder, data)
    wrong = pick_wrong(run.rows, per_source)
    explained = dict(explain_rows(folder, [row for rows in wrong.values() for row in rows]))
    page = render_page(run.name, run.metrics, run.provenance, run.rows, wrong, explained)
    return write_page(output, page)


def check_output(folder: Path, output: Path) -> None:
    """Refuse, before the long work, an output that cannot be written or that would be published.

    Raises:
        PipelineError: one line naming ``output``.
    """
    if output.is_dir() or not output.parent.is_dir():
        raise PipelineError(f"--output {output}: expected a file name in a folder that exists")
    if output.resolve().is_relative_to(folder.resolve()):
        raise PipelineError(f"--output {output} lies in the run folder, which gets published; choose another place")


def read_run(folder: Path, data: DataSource) -> Run:
    """Return the run in ``folder`` with its held-out rows.

    Raises:
        PipelineError: a file is missing or damaged, or a row's text is not in ``data``.
    """
    if (folder / ONNX_FILE).is_file():
        raise ModelError(f"{folder}: an exported ONNX model has neither gradients nor attention; {WRITTEN_BY}")
    for name in (METRICS, PROVENANCE, PREDICTIONS):
        if not (folder / name).is_file():
            raise ModelError(f"{folder}: {name} is missing; {WRITTEN_BY} (older ones have no predictions: train again)")
    metrics = read_json(folder / METRICS)
    missing = [key for key in ("epochs", "best_epoch", "calibration", "validation", "test") if key not in metrics]
    if missing:
        raise ModelError(f"{folder}/{METRICS}: {', '.join(missing)} missing; {WRITTEN_BY}")
    table = read_predictions(folder / PREDICTIONS)
    rows = join_rows(table, load_examples(data))
    return Run(folder.resolve().name, metrics, read_json(folder / PROVENANCE), tuple(rows))


def explain_rows(folder: Path, rows: Sequence[HeldRow]) -> Iterator[tuple[int, Explanation]]:
    """Yield (row number, why the model preferred the wrong class over the labelled one), in order of ``rows``."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # transformers 4 warns of every change of attention it then makes correctly
    try:
        model, tokenizer, max_length = load_run(folder)
        prepare_model(model)
        for row in tqdm(rows, "explain", unit="row", mininterval=5, leave=False):
            yield row.number, explain_example(model, tokenizer, max_length, row.example, row.predicted, row.label)
    finally:
        logging.set_verbosity(verbosity)


def write_page(output: Path, page: str) -> Path:
    """Write ``page`` whole or not at all; return ``output``.

    Raises:
        PipelineError: the place cannot be written.
    """
    unfinished = output.with_name(f".{output.name}.unfinished")
    try:
        unfinished.write_text(page, encoding="utf-8", newline="\n")
        os.replace(unfinished, output)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise PipelineError(f"--output {output} cannot be written: {error.strerror}") from error
    return output
