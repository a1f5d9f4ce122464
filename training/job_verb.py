"""python -m training job: a recipe trained on the Hub's hardware instead of this machine's."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import PipelineError

from .inputs import check_recipe_path, read_seed, replace_base
from .outputs import append_output, check_target
from .recipe import ENCODER, RUN, Recipe, load_recipe, reseed_recipe
from .rules import RecipeError

HUB = "https://huggingface.co"
PROJECT = Path(__file__).parents[1]
EXAMPLE = "training/recipes/full-raw.toml --repository OWNER/NAME --flavor l4x1 --timeout 2h"


def add_options(verb: argparse.ArgumentParser) -> None:
    """Give ``verb`` its options."""
    verb.add_argument("recipe", help="recipe file of this repository, committed")
    verb.add_argument("--repository", required=True, metavar="OWNER/NAME", help="Hub repository to publish to")
    verb.add_argument("--flavor", required=True, help="hardware of the Hub, such as l4x1, a10g-small or cpu-upgrade")
    verb.add_argument("--timeout", default="2h", help="the job is ended after this: 90m, 2h (default: 2h)")
    verb.add_argument("--seed", default="", help="use this seed instead of the recipe's")
    verb.add_argument("--base", default="", metavar="ID@COMMIT", help="use this base instead of the recipe's")
    verb.add_argument("--source", help="https address of the code (default: the workflow's repository)")
    verb.add_argument("--commit", help="40-hex commit of the code (default: the workflow's)")
    verb.add_argument("--revision-file", type=Path, metavar="FILE", help="also append revision=COMMIT to this file")


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    """Run the Job that ``options`` ask for, and print the commit that it has published.

    Raises:
        PipelineError: see :func:`training.job.run_job`; or an option or the recipe is refused, or there is no token.
    """
    check_target("--revision-file", options.revision_file)
    recipe, seed = check_recipe_path(options.recipe, PROJECT), read_seed(options.seed)
    check_recipe(recipe, seed, options.base)
    token = environment.get("HF_TOKEN", "").strip()
    if not token:
        raise PipelineError("no HF_TOKEN; a job is started, and publishes, with one that may do both")
    if (endpoint := environment.get("HF_ENDPOINT", "").rstrip("/")) not in ("", HUB):
        raise PipelineError(f"HF_ENDPOINT is {endpoint}; jobs run at {HUB} alone, which would be sent your token")
    from .job import Order, parse_length, run_job

    source, commit = options.source or _find_source(environment), options.commit or environment.get("GITHUB_SHA", "")
    timeout_s = parse_length(options.timeout)
    order = Order(source, commit, recipe, options.repository, options.flavor, timeout_s, seed, options.base)
    revision = run_job(order, token, time.sleep)
    append_output(options.revision_file, "revision", revision)
    print(f"published: {options.repository} at {revision}")


def check_recipe(path: str, seed: int | None, base: str) -> Recipe:
    """Return the recipe at ``path`` as the Job will train it.

    Raises:
        RecipeError: it is refused, or needs texts of the data folder or a run of ours, which no Job has.
    """
    recipe = load_recipe(PROJECT / path)
    recipe = replace_base(recipe, base) if base else recipe
    recipe = recipe if seed is None else reseed_recipe(recipe, seed)
    needed = [*recipe.unlabelled, *([recipe.base] if recipe.base.startswith((ENCODER, RUN)) else [])]
    if needed:
        raise RecipeError(f"{path}: needs {needed[0]}, which no public server has; expected a recipe without")
    return recipe


def _find_source(environment: Mapping[str, str]) -> str:
    server, name = environment.get("GITHUB_SERVER_URL", ""), environment.get("GITHUB_REPOSITORY", "")
    return f"{server}/{name}" if server and name else ""
