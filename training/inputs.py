"""What a person types into a workflow's form, checked before anything is made of it. An empty text is no choice."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.errors import PipelineError

from .recipe import MINILM, PACKAGE, Recipe, revise_recipe
from .rules import RecipeError

_HUB_BASE = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)@(?P<commit>[0-9a-f]{40})", re.ASCII)
_FULL_PACKAGE = f"{PACKAGE}@{MINILM['revision']}"


def read_seed(text: str) -> int | None:
    """Return the seed in ``text``, None for an empty one. Raises PipelineError; a recipe says which seeds it takes."""
    if not text.strip():
        return None
    if not re.fullmatch(r"-?\d{1,10}", text.strip(), re.ASCII):
        raise PipelineError(f"--seed: {text!r} is no seed; expected a whole number")
    return int(text)


def replace_base(recipe: Recipe, text: str) -> Recipe:
    """Return ``recipe`` on the base that ``text`` names: ``package:NAME@VERSION`` or ``OWNER/NAME@COMMIT``.

    The architecture stays the recipe's; a base of another one is refused when it is opened.

    Raises:
        RecipeError: it is neither, or the recipe cannot be trained on it.
    """
    if text == _FULL_PACKAGE:
        return revise_recipe(recipe, "--base", **MINILM)
    found = _HUB_BASE.fullmatch(text)
    if not found:
        raise RecipeError(f"--base: {text!r} is no base; expected {_FULL_PACKAGE}, or OWNER/NAME@ and 40 hex digits")
    return revise_recipe(recipe, "--base", base=found["id"], revision=found["commit"], weight_sha256="")


def check_recipe_path(text: str | Path, root: Path) -> str:
    """Return the path of a recipe relative to ``root``, with forward slashes.

    Raises:
        RecipeError: it is no .toml file below ``root``, links followed, or looks like an option.
    """
    try:
        inside = (root / text).resolve(strict=True).relative_to(root.resolve())
    except (OSError, ValueError) as error:
        raise RecipeError(f"{text}: no file below {root.resolve()}; expected a recipe such as {_EXAMPLE}") from error
    if inside.suffix != ".toml" or str(text).startswith("-") or not (root / inside).is_file():
        raise RecipeError(f"{text}: expected the path of a .toml file, such as {_EXAMPLE}")
    return inside.as_posix()


_EXAMPLE = "training/recipes/adapter.toml"
