"""A recipe and the data -> one published run folder. Fits on training rows, picks epoch and temperature on validation.

The test rows are scored once, after both are chosen. Until then the work lies in a folder of its own, and the same
command goes on from there after whatever ended it.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from .bases import open_teachers
from .batches import tabulate_rows
from .checkpoint import save_checkpoint
from .data import Example
from .enrich import enrich_rows
from .fit import Fit, Store, fit_model
from .losses import choose_objective
from .measure import measure_run, predict_zero_shot
from .mix import plan_rows
from .model import Model, build_model, unquantise_model
from .narrow import narrow_model
from .readers import DataSource
from .recipe import Recipe
from .rows import Rows, read_rows
from .run_folder import describe_run, measure_cost, write_run
from .states import add_projection, drop_projection
from .steps import TrainingError, deterministic_algorithms
from .teacher import ask_states, ask_teachers, read_near_words
from .unfinished import (
    ANSWERS,
    CHECKPOINT,
    begin_unfinished,
    claim_folder,
    end_in_one_line,
    hold_folder,
    list_facts,
    read_unfinished,
)


def train_recipe(recipe: Recipe, data: DataSource, output: Path, restart: bool = False) -> Path:
    """Train ``recipe`` on ``data``; return the new folder ``output/<name>-seed<seed>``.

    Goes on from ``output/<name>-seed<seed>.unfinished`` where that is, unless ``restart`` discards it: the result is
    bit for bit that of a run never stopped. Deterministic for a recipe, data, library set, device, number of processes
    and number of threads. Under ``accelerate launch`` every process calls this; only the main one writes and prints.

    Raises:
        PipelineError: the recipe, base, data or teacher is refused, the folder exists, the unfinished folder is
            another run's or in use, or memory, disk or a person ended it.
    """
    accelerator, started = start_accelerator(recipe.precision), time.monotonic()
    folder, unfinished = claim_folder(output, recipe)
    hold = hold_folder(unfinished) if accelerator.is_main_process else nullcontext()
    with hold, end_in_one_line(recipe, unfinished), deterministic_algorithms():
        if accelerator.is_main_process:
            begin_unfinished(unfinished, recipe, restart)
        accelerator.wait_for_everyone()
        rows = read_rows(recipe, data)
        if accelerator.is_main_process:
            tqdm.write(
                f"{recipe.name}, seed {recipe.seed}: {len(rows.train):,} training rows of {', '.join(recipe.sources)}; "
                f"{recipe.base} on {accelerator.device.type}, {recipe.method}, at most {recipe.epochs} epochs"
            )
        provenance = describe_run(recipe, data, rows, accelerator.device, accelerator.num_processes)
        store, state, answers = open_store(recipe, provenance, unfinished, started)
        zero_shot = predict_zero_shot(recipe, rows, accelerator.device) if accelerator.is_main_process else None
        model, tokenizer, fit = fit_recipe(accelerator, recipe, rows, store, state, answers)
        if accelerator.is_main_process:
            final = unquantise_model(model, recipe)
            metrics, probabilities = measure_run(final, tokenizer, recipe, rows, fit, zero_shot)
            metrics = measure_cost(recipe, time.monotonic() - store.started) | metrics
            write_run(folder, unfinished, recipe, final, tokenizer, rows, metrics, probabilities, provenance)
        accelerator.wait_for_everyone()
    return folder


def start_accelerator(wanted: str) -> Accelerator:
    """Return what places the model and spreads it over the processes that ``accelerate launch`` started, if any.

    ``wanted`` is a recipe's precision.

    Raises:
        TrainingError: it asks for a precision that the device lacks.
    """
    has_gpu = torch.cuda.is_available()
    precision = choose_precision(wanted, has_gpu, has_gpu and torch.cuda.is_bf16_supported(False))
    # cuBLAS reads this once, before its first use; without it matrix products may differ from run to run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # A second run in one process may ask for another precision than the first.
    AcceleratorState._reset_state()
    return Accelerator(mixed_precision=precision, cpu=not has_gpu)


def choose_precision(precision: str, has_gpu: bool, has_bf16: bool) -> str:
    """Return what accelerate calls the recipe's ``precision``: "no", "bf16" or "fp16".

    "auto" is fp32 on a CPU: there bf16 is slower than fp32 unless it has matrix units of its own, and fp16 overflows.

    Raises:
        TrainingError: fp16 without a GPU.
    """
    if precision == "fp16" and not has_gpu:
        raise TrainingError("precision is 'fp16'; expected a GPU for it, or 'auto', 'fp32' or 'bf16'")
    if precision == "auto" and has_gpu:
        return "bf16" if has_bf16 else "fp16"
    return "no" if precision in ("auto", "fp32") else precision


def open_store(
    recipe: Recipe, provenance: Mapping[str, Any], unfinished: Path, started: float
) -> tuple[Store, dict[str, Any] | None, dict[str, Any] | None]:
    """Return where the fit keeps its state, the state it goes on from and the teachers' answers, None for what is not
    there; says what is."""
    facts = list_facts(provenance)
    state, answers = (read_unfinished(unfinished, name, recipe, facts) for name in (CHECKPOINT, ANSWERS))
    last = state or answers
    if last is None:
        return Store(unfinished / CHECKPOINT, {"facts": facts}, started), None, None
    if is_main_process():
        done = "the teachers have answered"
        if state:
            progress = state["progress"]
            done = f"{len(progress['records'])} epochs and {len(progress['losses'])} steps done"
        tqdm.write(f"going on from {unfinished}: {done}")
    return Store(unfinished / CHECKPOINT, {"facts": facts}, started - last["wall_s"]), state, answers


def fit_recipe(
    accelerator: Accelerator,
    recipe: Recipe,
    rows: Rows,
    store: Store,
    state: dict[str, Any] | None,
    answers: dict[str, Any] | None,
) -> tuple[Model, PreTrainedTokenizerFast, Fit]:
    """Return the trained model in full precision, without its wrapping, its tokenizer, and how the fit went."""
    epochs = plan_rows(rows.train, recipe, Random(recipe.seed))
    held_out = [example.text for example in rows.held_out]
    near = {}
    if recipe.reworded_rows:
        with open_teachers(recipe.teachers[:1]) as folders:
            near = read_near_words(folders[0])
    examples, epochs = enrich_rows(rows.train, rows.headlines, near, held_out, epochs, recipe, Random(recipe.seed))
    if answers is None:
        answers = _ask_teachers(recipe, examples, accelerator, store)
    teacher, states = answers["teacher"], answers["states"]
    seed_everything(recipe.seed)
    model, tokenizer = build_model(recipe)
    narrow_model(model, tokenizer, recipe, examples)
    hook = None if states is None else add_projection(model, states.shape[1])
    if accelerator.process_index:
        seed_everything(recipe.seed + accelerator.process_index)  # the same weights, but dropout of its own
    table = tabulate_rows(examples, tokenizer, recipe.max_length, teacher, states)
    labels = (examples[i].label for i in epochs[0])
    objective = choose_objective(recipe, labels, accelerator.device)
    fit = fit_model(accelerator, model, recipe, table, rows.validation, epochs, objective, store, state)
    model = accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    if hook is not None:
        drop_projection(model, hook)
    return model, tokenizer, fit


def is_main_process() -> bool:
    """Say whether this process is the one, of those that ``accelerate launch`` started, that writes and prints."""
    return bool(PartialState().is_main_process)


def count_processes() -> int:
    """Return how many processes `accelerate launch` started, 1 without it."""
    return int(PartialState(cpu=not torch.cuda.is_available()).num_processes)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _ask_teachers(
    recipe: Recipe, examples: Sequence[Example], accelerator: Accelerator, store: Store
) -> dict[str, Any]:
    if not recipe.teachers:
        return {"teacher": None, "states": None}
    is_bf16, states = accelerator.mixed_precision == "bf16", None
    with open_teachers(recipe.teachers) as folders:
        if recipe.state_weight:
            teacher, states = ask_states(folders, examples, accelerator.device, is_bf16)
        else:
            teacher = torch.from_numpy(ask_teachers(folders, examples, accelerator.device, is_bf16)).float()
    answers = {**store.facts, "teacher": teacher, "states": states, "wall_s": time.monotonic() - store.started}
    if accelerator.is_main_process:
        save_checkpoint(store.path.with_name(ANSWERS), answers)
    return answers
