"""The plan of experiments -> a run folder per recipe and seed, all on one base and one number of rows per epoch.

Every run is a `python -m training train` of its own, so one that dies takes no other with it and is resumed next time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, fields
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.model_folder import METRICS, read_json

from .recipe import Recipe, format_recipe, load_recipe, rebase_recipe, reseed_recipe, revise_recipe, shrink_recipe

PLAN = Path(__file__).with_name("experiments.toml")
RECIPES = Path(__file__).with_name("recipes")
TRAIN = (sys.executable, "-m", "training", "train")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


class ExperimentError(PipelineError):
    """The plan is malformed, a finished run is not of the plan's recipe, or runs failed."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """A line of the plan. What is not ``is_comparable`` is smoke-tested only, and ``reason`` says why."""

    number: str
    recipe: str
    question: str
    change: str
    is_comparable: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """One run to make: the effective recipe and the folder it ends in."""

    recipe: Recipe
    folder: Path

    @property
    def recipe_path(self) -> Path:
        """Where the effective recipe is written for the run to read."""
        return self.folder.parent / "recipes" / f"{self.folder.name}.toml"

    @property
    def log_path(self) -> Path:
        """Where the run's output goes."""
        return self.folder.parent / "logs" / f"{self.folder.name}.log"


def run_experiments(
    plan: Sequence[Experiment],
    output: Path,
    seeds: Sequence[int],
    epoch_rows: int,
    workers: int,
    recipes: Path = RECIPES,
    report: Callable[[str], None] = print,
    train: Sequence[str] = TRAIN,
    prepare: Callable[[Recipe], None] | None = None,
) -> list[Path]:
    """Make every run of the plan that ``output`` does not hold yet; return all run folders, in the plan's order.

    Comparable recipes run on the packaged MiniLM, or on the encoder of ours they name, under every seed, the others
    once as a smoke run. ``workers`` runs go side by side with one thread each, as commands ``train`` RECIPE --output
    FOLDER, which find the data by themselves. ``report`` gets one line per run. ``prepare`` is called before, with the
    recipe of every run to make: what several of them build on is then there.

    Raises:
        PipelineError: a recipe or ``workers`` is refused, a run is planned twice, a finished folder is of another
            recipe, or (after all others) runs failed.
    """
    if workers < 1:
        raise ExperimentError(f"--workers is {workers}; expected 1 or more")
    jobs = plan_jobs(plan, output, seeds, epoch_rows, recipes)
    for job in jobs:
        check_finished(job)
    for job in jobs:
        if prepare and not job.folder.exists():
            prepare(job.recipe)
    failed: list[str] = []
    for done, (job, problem, seconds) in enumerate(_run_side_by_side(jobs, workers, train), 1):
        failed += [job.folder.name] if problem else []
        report(f"{done}/{len(jobs)} {job.folder.name}: {problem or describe_run(job, seconds)}")
    if failed:
        raise ExperimentError(f"{len(failed)} of {len(jobs)} runs failed: {', '.join(failed)}; see {output / 'logs'}")
    return [job.folder for job in jobs]


def load_plan(path: Path = PLAN) -> list[Experiment]:
    """Return the experiments of a plan, in its order.

    Raises:
        ExperimentError: no TOML file, or an entry has an unknown key, lacks one or has one of the wrong type.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("experiment", [])
    except (OSError, ValueError) as error:
        raise ExperimentError(f"{path}: cannot be read as TOML: {error}") from error
    types = {field.name: bool if field.name == "is_comparable" else str for field in fields(Experiment)}
    for number, entry in enumerate(entries, 1):
        for key in entry.keys() | (types.keys() - {"reason"}):
            if key not in types or type(entry.get(key)) is not types[key]:
                raise ExperimentError(
                    f"{path} experiment {number}: {key} is {entry.get(key)!r}; expected {', '.join(types)}"
                )
        if entry["is_comparable"] == bool(entry.get("reason")):
            raise ExperimentError(f"{path} experiment {number}: expected a reason exactly where is_comparable is false")
    return [Experiment(**entry) for entry in entries]


def plan_jobs(
    plan: Iterable[Experiment], output: Path, seeds: Sequence[int], epoch_rows: int, recipes: Path = RECIPES
) -> list[Job]:
    """Return the runs of the plan, in its order, seeds of a recipe together.

    Raises:
        PipelineError: a recipe is refused, also under a seed or ``epoch_rows``, or a run is planned twice.
    """
    jobs = []
    for experiment in plan:
        recipe = load_recipe(recipes / f"{experiment.recipe}.toml")
        if not experiment.is_comparable:
            jobs.append(_plan_job(shrink_recipe(recipe), output))
            continue
        limited = revise_recipe(rebase_recipe(recipe), "--epoch-rows", epoch_rows=epoch_rows)
        jobs += [_plan_job(reseed_recipe(limited, seed), output) for seed in seeds]
    names = [job.folder.name for job in jobs]
    for name in names:
        if names.count(name) > 1:
            raise ExperimentError(f"{name} is planned twice; expected every recipe and seed once")
    return jobs


def check_finished(job: Job) -> None:
    """Refuse a finished run folder that another recipe made: it would pass for a run of this plan.

    Raises:
        ExperimentError: names folder and keys.
    """
    if not job.folder.exists():
        return
    found = load_recipe(job.folder / "recipe.toml")
    keys = [one.name for one in fields(Recipe) if getattr(found, one.name) != getattr(job.recipe, one.name)]
    if keys:
        raise ExperimentError(f"{job.folder}: made with other {', '.join(keys)}; remove it or choose another --output")


def describe_run(job: Job, seconds: float) -> str:
    """Return what a finished run says in its line of progress."""
    if job.recipe.base.startswith("random:"):
        return f"smoke run works, {seconds:.0f} s"
    model = read_json(job.folder / METRICS)["test"]["model"]
    figures = ", ".join(f"{place} {model[place]['accuracy']:.3f}" for place in ("mix", "fiqa") if place in model)
    return f"{seconds:.0f} s, accuracy {figures}"


def _run_side_by_side(jobs: Sequence[Job], workers: int, train: Sequence[str]) -> Iterable[tuple[Job, str, float]]:
    """Yield (job, problem or "", seconds) as runs end; on an interrupt, what has not begun never does."""
    with ThreadPoolExecutor(workers) as pool:
        futures: dict[Future[tuple[str, float]], Job] = {pool.submit(_run_job, job, train): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield (futures[future], *future.result())
        finally:
            pool.shutdown(cancel_futures=True)


def _run_job(job: Job, train: Sequence[str]) -> tuple[str, float]:
    if job.folder.exists():
        return "", 0.0
    started = time.monotonic()
    for path in (job.recipe_path, job.log_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    job.recipe_path.write_text(format_recipe(job.recipe), encoding="utf-8")
    paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    command = [*train, str(job.recipe_path), "--output", str(job.folder.parent)]
    with job.log_path.open("wb") as log:
        environment = os.environ | ONE_THREAD | {"PYTHONPATH": os.pathsep.join(paths)}
        code = subprocess.run(command, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    seconds = time.monotonic() - started
    if code == 0 and job.folder.exists():
        return "", seconds
    said = job.log_path.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(said) if line.strip()), "it said nothing")
    return f"failed with exit code {code}: {last}", seconds


def _plan_job(recipe: Recipe, output: Path) -> Job:
    return Job(recipe, output / f"{recipe.name}-seed{recipe.seed}")
