"""A recipe -> the encoder or run and the teachers it builds on, made first where they are not there yet.

`runs/finance` is made by encoders/finance.toml, `runs/mpnet-seed42` by recipes/mpnet.toml under seed 42.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from .encoder_recipe import load_encoder_recipe
from .pretrain import pretrain_encoder
from .readers import DataSource
from .recipe import ENCODER, MODEL, RUN, Recipe, load_recipe, reseed_recipe
from .steps import TrainingError
from .train import count_processes, train_recipe

HOME = Path(__file__).parent
_SEEDED = re.compile(r"(?P<name>.+)-seed(?P<seed>\d+)")


@dataclass(frozen=True)
class Step:
    """A folder, the recipe file it is made by (None: nobody here makes it), and the seed, None for an encoder."""

    folder: Path
    recipe: Path | None
    seed: int | None = None

    @property
    def command(self) -> str:
        """What makes the folder, as a person would type it."""
        verb, seed = ("pretrain", "") if self.seed is None else ("train", f" --seed {self.seed}")
        return f"python -m training {verb} {self.recipe}{seed} --output {self.folder.parent}"


def build_prerequisites(recipe: Recipe, data: DataSource, above: tuple[str, ...] = ()) -> None:
    """Make what ``recipe`` builds on and lacks, and first what that builds on. Long: each of them is a training.

    ``above`` names the recipes that this one is made for.

    Raises:
        PipelineError: no recipe makes one of them, they build on each other, `accelerate launch` started several
            processes, or a training failed; what was made until then stays.
    """
    missing = [step for step in list_steps(recipe) if not step.folder.exists()]
    check_steps(recipe, missing, above)
    for step in missing:
        if step.folder.exists() or step.recipe is None:  # made a moment ago for another one
            continue
        tqdm.write(f"{recipe.name} builds on {step.folder}: making it by {step.recipe.name} first")
        if step.seed is None:
            pretrain_encoder(load_encoder_recipe(step.recipe), data, step.folder.parent)
        else:
            needed = reseed_recipe(load_recipe(step.recipe), step.seed)
            build_prerequisites(needed, data, (*above, recipe.name))
            train_recipe(needed, data, step.folder.parent)


def check_steps(recipe: Recipe, missing: Sequence[Step], above: tuple[str, ...]) -> None:
    """Refuse what cannot be made, all of it before anything is.

    Raises:
        TrainingError: see :func:`build_prerequisites`.
    """
    if recipe.name in above:
        raise TrainingError(f"{recipe.name} builds on itself, by way of {', '.join(above)}")
    for step in missing:
        if step.recipe is None or not step.recipe.is_file():
            how = f"there is no {step.recipe}" if step.recipe else "its name ends in no -seedN, so no recipe makes it"
            raise TrainingError(f"{recipe.name} builds on {step.folder}, which is not there, and {how}")
    if missing and (count := count_processes()) > 1:
        commands = "; ".join(step.command for step in missing)
        raise TrainingError(f"{recipe.name} lacks what one process makes, not {count}; run first: {commands}")


def list_steps(recipe: Recipe) -> list[Step]:
    """Return what ``recipe`` builds on, its base first; a run without a seed in its name is not ours to make."""
    steps = []
    if recipe.base.startswith(ENCODER):
        folder = Path(recipe.base.removeprefix(ENCODER))
        steps.append(Step(folder, HOME / "encoders" / f"{folder.name}.toml"))
    start = [recipe.base.removeprefix(RUN)] if recipe.base.startswith(RUN) else []
    teachers = [name for name in recipe.teachers if not name.startswith(MODEL)]
    for run in map(Path, [*start, *teachers]):
        found = _SEEDED.fullmatch(run.name)
        path = HOME / "recipes" / f"{found['name']}.toml" if found else None
        steps.append(Step(run, path, int(found["seed"]) if found else None))
    return steps
