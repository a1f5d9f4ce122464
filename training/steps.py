"""One optimiser step on one batch, in one process or several, at once or in parts.

Every batch is cut into parts: each process takes its share, in ``accumulate`` rounds. The gradient is that of the whole
batch whatever the cut, so one recipe means the same on a laptop and on several GPUs.
"""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch
from accelerate import Accelerator
from torch.optim.lr_scheduler import LambdaLR

from pipeline.errors import PipelineError

from .batches import RowTable
from .course import find_rate, plan_batches
from .losses import Objective, compute_loss
from .recipe import Recipe

MAX_GRADIENT_NORM = 1.0
_LAYER = re.compile(r"(?:^|\.)layers?\.(\d+)\.")


class TrainingError(PipelineError):
    """A run cannot start or did not finish."""


@dataclass
class Progress:
    """Where a fit is: finished epochs and their records, the losses of the steps of the current one, best weights.

    ``mean`` is that of the weights at the ends of all finished epochs, empty for a recipe that keeps none.
    """

    records: list[dict[str, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    mean: dict[str, torch.Tensor] = field(default_factory=dict)


@dataclass
class Fitting:
    """Everything a fit holds. ``plan`` lists, for every epoch, the rows of every step."""

    accelerator: Accelerator
    model: torch.nn.Module
    optimizer: Any
    schedule: LambdaLR
    recipe: Recipe
    rows: RowTable
    objective: Objective
    plan: Sequence[Sequence[Sequence[int]]]
    progress: Progress = field(default_factory=Progress)

    @property
    def bare_model(self) -> Any:
        """The model without what spreads it over processes."""
        return self.accelerator.unwrap_model(self.model)


def prepare_fitting(
    accelerator: Accelerator,
    model: torch.nn.Module,
    recipe: Recipe,
    rows: RowTable,
    epochs: Sequence[Sequence[int]],
    objective: Objective,
) -> Fitting:
    """Return a fit at its beginning: batches shuffled under the recipe's seed, AdamW, and the rate's course."""
    plan = plan_batches(rows.lengths, epochs, recipe.batch_size, Random(recipe.seed))
    model = accelerator.prepare(model)
    groups = group_weights(model, recipe.learning_rate, recipe.layer_decay)
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    steps = sum(map(len, plan))
    warmup = max(1, round(recipe.warmup_share * steps))
    schedule = LambdaLR(optimizer, lambda step: find_rate(recipe.schedule, step, warmup, steps))
    return Fitting(accelerator, model, accelerator.prepare(optimizer), schedule, recipe, rows, objective, plan)


def group_weights(model: torch.nn.Module, rate: float, decay: float) -> list[dict[str, Any]]:
    """Return the trained weights in groups with a learning rate each, a decay of 1 in a single group.

    Layer k (from 0) of L learns at ``rate`` * ``decay`` ** (L - k), the embeddings below them at ``decay`` ** (L + 1),
    the head and what else lies outside the layers at ``rate`` (Howard and Ruder 2018, section 3.2).
    """
    named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    if decay == 1:
        return [{"params": [weight for _, weight in named]}]
    layer_count = 1 + max((int(found[1]) for name, _ in model.named_parameters() if (found := _LAYER.search(name))))
    groups: dict[int, list[torch.nn.Parameter]] = {}
    for name, weight in named:
        groups.setdefault(find_depth(name, layer_count), []).append(weight)
    return [{"params": groups[depth], "lr": rate * decay**depth} for depth in sorted(groups)]


def find_depth(name: str, layer_count: int) -> int:
    """Return how many layers below the head the parameter ``name`` lies: 0 in the head, 1 in the last layer."""
    if found := _LAYER.search(name):
        return layer_count - int(found[1])
    return layer_count + 1 if "embed" in name else 0


def repeat_inputs(inputs: dict[str, torch.Tensor], passes: int) -> dict[str, torch.Tensor]:
    """Return a batch's ``inputs``, (n, length) each, ``passes`` times below one another, for one forward pass."""
    return inputs if passes == 1 else {name: torch.cat([values] * passes) for name, values in inputs.items()}


def take_step(fitting: Fitting, rows: Sequence[int]) -> torch.Tensor:
    """Take one optimiser step on ``rows``; return this process's part of the loss, a mean over all of them.

    A process without a row of a short batch takes one with weight 0: all of them must meet to share gradients.
    """
    accelerator, loss = fitting.accelerator, torch.zeros((), device=fitting.accelerator.device)
    count = fitting.recipe.accumulate
    for part in range(count):
        share = rows[part * accelerator.num_processes + accelerator.process_index :: count * accelerator.num_processes]
        is_last = part == count - 1
        with contextlib.nullcontext() if is_last else accelerator.no_sync(fitting.model):
            batch = fitting.rows.load_batch(share or rows[:1], accelerator.device)
            inputs = repeat_inputs(batch.inputs, fitting.objective.passes)
            output = fitting.model(**inputs, output_hidden_states=batch.states is not None)
            mean = compute_loss(output.logits, batch, fitting.objective, output.get("projected"))
            # Processes' gradients are averaged, so each stands for its share of the batch times their number.
            accelerator.backward(mean * (len(share) * accelerator.num_processes / len(rows)))
            loss += mean.detach() * (len(share) / len(rows))
    accelerator.clip_grad_norm_(fitting.model.parameters(), MAX_GRADIENT_NORM)
    fitting.optimizer.step()
    if not accelerator.optimizer_step_was_skipped:
        fitting.schedule.step()
    fitting.optimizer.zero_grad()
    return loss


def close_steps(fitting: Fitting, losses: list[torch.Tensor], since: float) -> float:
    """Add the steps' losses, summed over processes, and their seconds to the progress; return the moment now.

    Raises:
        TrainingError: a loss is no longer a number.
    """
    values = fitting.accelerator.reduce(torch.stack(losses), "sum").tolist() if losses else []
    if not all(map(math.isfinite, values)):
        raise TrainingError(
            f"the loss is not a number in epoch {len(fitting.progress.records) + 1}; lower learning_rate"
        )
    fitting.progress.losses += values
    now = time.monotonic()
    fitting.progress.seconds += now - since
    return now


@contextlib.contextmanager
def deterministic_algorithms() -> Iterator[None]:
    """Choose torch's repeatable kernels inside; where it has none it warns and goes on."""
    memory: Any = torch.utils.deterministic
    before, filled = torch.are_deterministic_algorithms_enabled(), memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = False  # a search for faults, not for repeatability, and slow
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        memory.fill_uninitialized_memory = filled
