"""A recipe and the data root -> one published run folder. Fits on the training rows, picks the epoch on validation.

The test rows are scored once, after the epoch is chosen, for metrics.json.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from pipeline.errors import PipelineError
from pipeline.text import LABELS

from .batches import Batch, encode_examples, group_batches, load_batches, predict_probabilities
from .data import Example, load_examples
from .evaluate import evaluate_sources
from .model import build_model
from .recipe import Recipe, load_recipe, reseed_recipe
from .results import compare_model
from .run_folder import publish_run
from .splits import SPLIT_SEED, Splits, split_examples

MAX_GRADIENT_NORM = 1.0
POSITIVE, NEGATIVE = LABELS.index("positive"), LABELS.index("negative")


class TrainingError(PipelineError):
    """A run cannot start or did not finish."""


@dataclass(frozen=True)
class Fit:
    """What the fit found: the chosen epoch (from 1) and one record of loss, validation measures and time per epoch."""

    best_epoch: int
    epochs: tuple[dict[str, float], ...]


def train_recipe(path: Path, root: Path, output: Path, seed: int | None = None) -> Path:
    """Train the recipe at ``path`` on the data under ``root``; return the new folder ``output/<name>-seed<seed>``.

    Deterministic for a recipe, seed, data, library set and thread count.

    Raises:
        PipelineError: the recipe, the base or the data is refused, the folder exists, or memory ran out.
    """
    recipe, recipe_file = load_recipe(path), path.read_bytes()
    recipe = recipe if seed is None else reseed_recipe(recipe, seed)
    folder = claim_folder(output, recipe)
    started = time.monotonic()
    examples = load_examples(root, recipe.sources)
    splits = split_examples(examples, SPLIT_SEED)
    seed_everything(recipe.seed)
    model, tokenizer = build_model(recipe)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    try:
        fit = fit_model(model, tokenizer, recipe, *select_rows(examples, splits, recipe))
        metrics = measure_run(model, tokenizer, recipe, examples, splits, fit)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(f"out of memory at batch_size {recipe.batch_size}; lower it in {path}") from error
    return publish_run(folder, recipe_file, recipe, model, tokenizer, root, metrics, time.monotonic() - started)


def claim_folder(output: Path, recipe: Recipe) -> Path:
    """Return where the run goes, after making sure before a long fit that it can be written there."""
    folder = output / f"{recipe.name}-seed{recipe.seed}"
    if folder.exists():
        raise TrainingError(f"{folder} exists; remove it or choose another --output")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"--output {output} cannot be made: {error.strerror}") from error
    return folder


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def select_rows(examples: Sequence[Example], splits: Splits, recipe: Recipe) -> tuple[list[Example], list[Example]]:
    """Return the training rows (limited, each source repeated as the recipe says) and the validation rows."""
    chosen = list(splits.train)
    if recipe.train_limit:
        chosen = sorted(random.Random(recipe.seed).sample(chosen, min(recipe.train_limit, len(chosen))))
    train = [examples[i] for i in chosen for _ in range(recipe.repeats[examples[i].source])]
    return train, [examples[i] for i in splits.validation]


def fit_model(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerFast,
    recipe: Recipe,
    train: Sequence[Example],
    validation: Sequence[Example],
) -> Fit:
    """Train in place and leave the weights of the epoch whose macro-F1 over all validation rows is highest.

    All rows together, not a mean over sources: FiQA has under a hundred validation rows, and its own figure jumps.
    """
    encoded = encode_examples(train, tokenizer, recipe.max_length)
    held = encode_examples(validation, tokenizer, recipe.max_length)
    lengths, shuffle = [len(row["input_ids"]) for row in encoded], random.Random(recipe.seed)
    plan = [group_batches(lengths, recipe.batch_size, shuffle) for _ in range(recipe.epochs)]
    optimizer, schedule = build_optimizer(model, recipe, sum(map(len, plan)))
    records: list[dict[str, float]] = []
    best: dict[str, torch.Tensor] = {}
    for epoch, order in enumerate(plan, 1):
        started, shown = time.monotonic(), tqdm(order, f"epoch {epoch}/{recipe.epochs}", mininterval=5, leave=False)
        batches = load_batches(train, encoded, shown, tokenizer, model.device)
        loss = run_epoch(model, batches, optimizer, schedule, recipe.score_weight)
        seconds = time.monotonic() - started
        measures = evaluate_sources(validation, predict_probabilities(model, tokenizer, held).numpy())
        records.append(_record_epoch(epoch, loss, seconds, measures))
        tqdm.write(" ".join(f"{key} {value:.4g}" for key, value in records[-1].items()))
        if records[-1]["macro_f1"] >= max(record["macro_f1"] for record in records):
            weights = get_peft_model_state_dict(model, save_embedding_layers=False)
            best = {name: weight.clone() for name, weight in weights.items()}
    set_peft_model_state_dict(model, best)
    return Fit(max(range(recipe.epochs), key=lambda i: (records[i]["macro_f1"], i)) + 1, tuple(records))


def run_epoch(
    model: PeftModel,
    batches: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    score_weight: float,
) -> float:
    """Take one optimiser step per batch; return the mean loss over the batches."""
    model.train()
    losses = []
    for inputs, labels, scores in batches:
        loss = compute_loss(model(**inputs).logits, labels, scores, score_weight)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return float(np.mean(losses))


def build_optimizer(
    model: PeftModel, recipe: Recipe, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Return AdamW over the trainable weights, and a rate that rises over ``warmup_share`` of the steps, then falls."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    warmup = max(1, round(recipe.warmup_share * steps))

    def rate(step: int) -> float:
        return min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, rate)


def compute_loss(logits: torch.Tensor, labels: torch.Tensor, scores: torch.Tensor, score_weight: float) -> torch.Tensor:
    """Return the batch mean of cross-entropy + ``score_weight`` * (p_positive - p_negative - score)^2.

    ``logits`` (n, 3); ``labels`` int (n,); ``scores`` float (n,) in -1..1, NaN where a row has none: such a row adds
    its cross-entropy alone.
    """
    entropy = torch.nn.functional.cross_entropy(logits, labels)
    probabilities = logits.softmax(dim=1)
    error = probabilities[:, POSITIVE] - probabilities[:, NEGATIVE] - scores
    return entropy + score_weight * torch.where(scores.isnan(), 0.0, error.nan_to_num()).square().mean()


def measure_run(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerFast,
    recipe: Recipe,
    examples: Sequence[Example],
    splits: Splits,
    fit: Fit,
) -> dict[str, Any]:
    """Return what metrics.json holds: the epochs, and validation and test measures beside their baselines."""
    train = [examples[i] for i in splits.train]
    result: dict[str, Any] = {"best_epoch": fit.best_epoch, "epochs": list(fit.epochs), "train_count": len(train)}
    for name in ("validation", "test"):
        rows = [examples[i] for i in splits.by_name()[name]]
        encoded = encode_examples(rows, tokenizer, recipe.max_length)
        result[name] = compare_model(train, rows, predict_probabilities(model, tokenizer, encoded).numpy())
    return result


def is_out_of_memory(error: Exception) -> bool:
    """Say whether ``error`` is Python's or torch's way (on a GPU, on a CPU) of running out of memory."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)


def _record_epoch(epoch: int, loss: float, seconds: float, measures: dict[str, Any]) -> dict[str, float]:
    record = {"epoch": epoch, "loss": loss, "seconds": seconds}
    record |= {key: measures["overall"][key] for key in ("accuracy", "macro_f1")}
    record |= {f"{source}_macro_f1": m["macro_f1"] for source, m in measures.items() if source != "overall"}
    return record | {f"{source}_r2": m["score"]["r2"] for source, m in measures.items() if "score" in m}
