"""A model and encoded rows -> the same model, trained, with the weights of its best epoch. A stopped fit goes on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from tqdm import tqdm

from .batches import RowTable, encode_examples, predict_probabilities
from .checkpoint import capture_random, restore_random, save_checkpoint
from .course import find_best, format_epoch, is_stalled, record_epoch
from .data import Example
from .losses import Objective
from .model import load_trainable, trainable_state
from .recipe import Recipe
from .steps import Fitting, Progress, close_steps, prepare_fitting, take_step

CHECKPOINT_STEPS = 500
SHOWN_STEPS = 20
"""Steps between two refreshes of the loss beside the progress bar; reading it waits for a GPU."""


@dataclass(frozen=True)
class Fit:
    """What the fit found: the chosen epoch (from 1), one record of loss, validation measures and time per epoch, and
    how many distinct rows it met."""

    best_epoch: int
    epochs: tuple[dict[str, float], ...]
    row_count: int


@dataclass(frozen=True)
class Store:
    """Where a fit keeps what it needs to go on, and the facts to keep beside it."""

    path: Path
    facts: dict[str, Any]
    started: float
    """``time.monotonic()`` at which the run would have begun, had it never stopped."""


def fit_model(
    accelerator: Accelerator,
    model: torch.nn.Module,
    recipe: Recipe,
    rows: RowTable,
    validation: Sequence[Example],
    epochs: Sequence[Sequence[int]],
    objective: Objective,
    store: Store | None = None,
    state: dict[str, Any] | None = None,
) -> Fit:
    """Train ``model`` in place and leave the weights of the epoch whose macro-F1 over all validation rows is highest.

    With ``average_weights`` an epoch's are the mean over the ends of all epochs up to it. All rows together, not a mean
    over sources: FiQA has under a hundred validation rows, and its own figure jumps. Of equals the latest is kept.
    ``epochs`` holds the indices into ``rows`` of each epoch (see ``plan_rows``). With ``state``, what
    :func:`save_progress` wrote, it goes on from there, bit for bit as if it had never stopped.

    Raises:
        TrainingError: the loss is no longer a number.
    """
    fitting = prepare_fitting(accelerator, model, recipe, rows, epochs, objective)
    if state is not None:
        restore_progress(fitting, state)
    held = encode_examples(validation, rows.tokenizer, recipe.max_length)
    progress = fitting.progress
    while len(progress.records) < len(fitting.plan) and not is_stalled(progress.records, recipe.early_stopping):
        run_epoch(fitting, store)
        trained = judged = trainable_state(fitting.bare_model)
        if recipe.average_weights:
            progress.mean = judged = average_states(progress.mean, trained, len(progress.records))
            load_trainable(fitting.bare_model, judged)
        probabilities = predict_shared(accelerator, fitting.bare_model, rows, held)
        record = record_epoch(len(progress.records) + 1, progress.losses, progress.seconds, validation, probabilities)
        progress.records.append(record)
        progress.losses, progress.seconds = [], 0.0
        if accelerator.is_main_process:
            tqdm.write(format_epoch(record, len(fitting.plan)))
        if find_best(progress.records) == record["epoch"]:
            progress.best = judged
        load_trainable(fitting.bare_model, trained)
        if store:
            save_progress(fitting, store)
    load_trainable(fitting.bare_model, progress.best)
    met = {row for epoch in epochs[: len(progress.records)] for row in epoch}
    return Fit(find_best(progress.records), tuple(progress.records), len(met))


def average_states(
    mean: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor], count: int
) -> dict[str, torch.Tensor]:
    """Return the mean of ``count`` states and one more ``state``; ``mean`` is theirs, unread for a count of 0."""
    return {name: torch.lerp(mean[name], value, 1 / (count + 1)) if count else value for name, value in state.items()}


def run_epoch(fitting: Fitting, store: Store | None) -> None:
    """Take the steps that the current epoch still lacks, saving every CHECKPOINT_STEPS."""
    accelerator, progress = fitting.accelerator, fitting.progress
    number, done = len(progress.records) + 1, len(progress.losses)
    steps = fitting.plan[number - 1]
    is_main = accelerator.is_main_process
    title, losses, since = f"epoch {number}/{len(fitting.plan)}", [], time.monotonic()
    fitting.model.train()
    shown = tqdm(total=len(steps), initial=done, desc=title, mininterval=5, leave=False, disable=not is_main)
    with shown:
        for step, rows in enumerate(steps[done:], done + 1):
            losses.append(take_step(fitting, rows))
            shown.update()
            if step % SHOWN_STEPS == 0:
                shown.set_postfix(loss=f"{losses[-1].item() * accelerator.num_processes:.3f}", refresh=False)
            if store and step % CHECKPOINT_STEPS == 0 and step < len(steps):
                since = close_steps(fitting, losses, since)
                losses = []
                save_progress(fitting, store)
    close_steps(fitting, losses, since)


def predict_shared(
    accelerator: Accelerator, model: torch.nn.Module, rows: RowTable, encoded: Sequence[dict[str, list[int]]]
) -> np.ndarray:
    """Return float32 (n, 3): every process scores its share, and all get the whole."""
    share = list(range(accelerator.process_index, len(encoded), accelerator.num_processes))
    found = predict_probabilities(model, rows.tokenizer, [encoded[i] for i in share]).numpy() if share else None
    result = np.empty((len(encoded), 3), dtype=np.float32)
    for taken, probabilities in gather_object([(share, found)]):
        if taken:
            result[taken] = probabilities
    return result


def save_progress(fitting: Fitting, store: Store) -> None:
    """Write all that :func:`restore_progress` needs; every process gives its random state, the main one writes."""
    accelerator, progress = fitting.accelerator, fitting.progress
    random = gather_object([capture_random()])
    if accelerator.is_main_process:
        state = {
            **store.facts,
            "weights": trainable_state(fitting.bare_model),
            "optimizer": fitting.optimizer.state_dict(),
            "schedule": fitting.schedule.state_dict(),
            "scaler": None if accelerator.scaler is None else accelerator.scaler.state_dict(),
            "random": random,
            "progress": vars(progress),
            "wall_s": time.monotonic() - store.started,
        }
        save_checkpoint(store.path, state)


def restore_progress(fitting: Fitting, state: dict[str, Any]) -> None:
    """Put ``fitting`` and the random generators where they were when ``state`` was saved."""
    load_trainable(fitting.bare_model, state["weights"])
    fitting.optimizer.load_state_dict(state["optimizer"])
    fitting.schedule.load_state_dict(state["schedule"])
    if fitting.accelerator.scaler is not None:
        fitting.accelerator.scaler.load_state_dict(state["scaler"])
    fitting.progress = Progress(**state["progress"])
    restore_random(state["random"][fitting.accelerator.process_index])
