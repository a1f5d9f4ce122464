"""Recipes that ship load and differ as they say; anything unknown or impossible is refused with file and key."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from training.recipe import (
    ARCHITECTURES,
    OURS,
    PACKAGE,
    RANDOM,
    Recipe,
    format_recipe,
    load_recipe,
    rebase_recipe,
    reseed_recipe,
    revise_recipe,
    shrink_recipe,
)
from training.rules import RecipeError

RECIPES = Path(__file__).parents[2] / "training" / "recipes"
NAMES = sorted(path.stem for path in RECIPES.glob("*.toml"))

LORA = {"method", "learning_rate"}
BASE = {"base", "revision"}
CHANGES: dict[str, set[str]] = {
    "no-fiqa": {"mix"},
    "fiqa-heavy": {"mix"},
    "fiqa-only": {"mix", "epoch_rows"},
    "multi-task": {"score_weight", "score_head"},
    "one-head": {"score_weight"},
    "finbert": BASE,
    "distilbert": BASE | {"architecture"},
    "early-stopping": {"epochs", "early_stopping"},
    "warmup": {"schedule", "warmup_share"},
    "class-weights": {"mix", "repeats", "class_weights"},
    "lora": LORA,
    "qlora": LORA,
    "rslora": LORA | {"rslora"},
    "dora": LORA | {"dora"},
    "fiqa-percentile": {"fiqa_labels"},
    "decoder": LORA | BASE | {"architecture"},
    "modernbert": BASE | {"architecture"},
    "deberta": BASE | {"architecture"},
    "distil": {"teachers", "teacher_weight", "teacher_temperature"},
    "adapted": BASE | {"learning_rate"},
    "depth-3": {"layers"},
    "depth-4": {"layers"},
    "layer-decay": {"layer_decay"},
    "r-drop": {"r_drop"},
    "versions": {"flip_share", "swap_share"},
    "written": {"written_rows"},
}
OWN = {"baseline", "smoke", "adapter", "full-raw", "full-finance", "augmented", "mpnet", "narrow"}
OWN |= {"wide", "slim", "default", "further", "reworded", "settled"}
"""Recipes that are no experiments against the baseline: the embedded model's and those it builds on or might."""


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_that_ships_loads_and_is_named_after_its_file(name: str) -> None:
    assert load_recipe(RECIPES / f"{name}.toml").name == name


@pytest.mark.parametrize("name", sorted(set(NAMES) - OWN))
def test_an_experiment_differs_from_the_baseline_in_what_it_is_about_and_nothing_else(name: str) -> None:
    baseline, recipe = (asdict(load_recipe(RECIPES / f"{one}.toml")) for one in ("baseline", name))
    assert {key for key in recipe if recipe[key] != baseline[key]} == CHANGES[name] | {"name"}


def test_the_baseline_is_the_one_asked_for() -> None:
    recipe = load_recipe(RECIPES / "baseline.toml")
    assert (recipe.base, recipe.method, recipe.seed) == ("google-bert/bert-base-uncased", "full", 42)
    assert (recipe.epochs, recipe.learning_rate, recipe.batch_size) == (3, 2e-5, 32)
    assert recipe.mix == {"phrasebank": 0.60, "twitter": 0.15, "fiqa": 0.25}
    assert recipe.sources == ("phrasebank", "twitter", "fiqa")


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_written_as_the_file_that_loads_as_itself(tmp_path: Path, name: str) -> None:
    recipe = load_recipe(RECIPES / f"{name}.toml")
    for one in (recipe, shrink_recipe(recipe), rebase_recipe(recipe), reseed_recipe(recipe, 7)):
        path = tmp_path / f"{one.name}.toml"
        path.write_text(format_recipe(one))
        assert load_recipe(path) == one


@pytest.mark.parametrize("name", NAMES)
def test_a_smoke_run_keeps_what_the_recipe_is_about(name: str) -> None:
    recipe = load_recipe(RECIPES / f"{name}.toml")
    smoke = shrink_recipe(recipe)
    assert smoke.base == RANDOM + recipe.architecture
    assert smoke.train_limit <= 300
    assert (smoke.epochs, smoke.epoch_rows) <= (2, 300)
    assert smoke.written_rows <= 60
    assert (smoke.teachers, smoke.unlabelled, smoke.reworded_rows) == ([], {}, 0)
    assert (smoke.state_weight, smoke.layers, smoke.intermediate_size) == (0, 0, 0)
    assert bool(smoke.written_rows) == bool(recipe.written_rows)
    kept = (
        "architecture method rslora dora class_weights score_weight score_head fiqa_labels schedule early_stopping mix"
        " r_drop flip_share swap_share layer_decay"
    )
    for key in kept.split():
        assert getattr(smoke, key) == getattr(recipe, key)


@pytest.mark.parametrize("name", NAMES)
def test_on_minilm_a_recipe_keeps_all_but_a_published_base_and_its_rate(name: str) -> None:
    recipe = load_recipe(RECIPES / f"{name}.toml")
    small = rebase_recipe(recipe)
    if recipe.base.startswith(OURS):
        assert small == recipe
        return
    assert (small.base, small.architecture) == (PACKAGE, "bert")
    assert len(small.weight_sha256) == 64
    base = {key: getattr(recipe, key) for key in ("base", "revision", "weight_sha256", "architecture")}
    assert replace(small, **base, learning_rate=recipe.learning_rate) == recipe
    assert rebase_recipe(small) == small
    if name in ("baseline", "lora"):
        assert small.learning_rate == pytest.approx({"baseline": 1e-4, "lora": 1e-3}[name])


def test_what_an_option_makes_of_a_recipe_is_checked_like_a_file() -> None:
    recipe = load_recipe(RECIPES / "baseline.toml")
    cases: list[tuple[Callable[[], Recipe], str]] = [
        (
            lambda: rebase_recipe(replace(recipe, learning_rate=0.5)),
            "--minilm: learning_rate is 2.5; expected 1e-07..1",
        ),
        (lambda: reseed_recipe(recipe, -1), "--seed: seed is -1; expected 0..2147483647"),
        (lambda: revise_recipe(recipe, "--epoch-rows", epoch_rows=-5), "--epoch-rows: epoch_rows is -5; expected 0.."),
        (lambda: shrink_recipe(replace(recipe, batch_size=0)), "--smoke: batch_size is 0; expected 1..4096"),
    ]
    for change, message in cases:
        with pytest.raises(RecipeError, match=re.escape(message)):
            change()


SMOKE = [
    ("epochs = 2", "epochs = 0", "epochs is 0; expected 1..100"),
    ("epochs = 2", 'epochs = "2"', "epochs is '2'; expected int"),
    ("epochs = 2", "epochs = true", "epochs is True; expected int"),
    ("epochs = 2", "epochs = 2\nepoch = 3", "unknown key 'epoch'"),
    ("epochs = 2", "", "key 'epochs' is missing"),
    ("epochs = 2", "epochs = ", "not a TOML file"),
    ("learning_rate = 5e-3", "learning_rate = -1", "learning_rate is -1.0; expected 1e-07..1"),
    ("learning_rate = 5e-3", "learning_rate = nan", "learning_rate is nan"),
    ('name = "smoke"', 'name = "../x"', "name is '../x'; expected lower-case"),
    ('target_modules = "all-linear"', 'target_modules = "query"', "target_modules is 'query'; expected 'all-linear'"),
    ("fiqa = 1", "fiqa = 0", "repeats.fiqa is 0; expected 1..100"),
    ("fiqa = 1", "reddit = 1", "repeats.reddit is 1; expected 1..100 for one of phrasebank"),
    ('base = "random:bert"', 'base = "/models/mine"', "base is '/models/mine'; expected package:"),
    ('base = "random:bert"', 'base = "owner/name"', "revision is ''; expected a commit of 40 hex digits"),
    ('base = "random:bert"', 'base = "random:roberta"', "base is 'random:roberta'; expected random:bert"),
    ('revision = ""', 'revision = "main"', "revision is 'main'; expected an empty string"),
    ('base = "random:bert"\nrevision = ""', f'base = "{PACKAGE}"\nrevision = "0.1.0"', "weight_sha256 is ''; expected"),
    ("seed = 42", 'seed = 42\narchitecture = "gpt2"', "architecture is 'gpt2'; expected one of bert, distilbert"),
    ("seed = 42", "seed = 42\nmix = { fiqa = 1.0 }", "expected one of the two"),
    ("seed = 42", "seed = 42\naccumulate = 5", "accumulate is 5; expected a divisor of batch_size 32"),
    ("seed = 42", 'seed = 42\nteachers = ["runs/x"]', "teacher_weight is 0.0; expected above 0 with teachers"),
    ("seed = 42", "seed = 42\nteacher_weight = 0.5", "teacher_weight is 0.5; expected above 0 with teachers, else 0"),
    ("seed = 42", 'seed = 42\nteachers = "runs/x"', "teachers is 'runs/x'; expected list"),
    (
        "seed = 42",
        "seed = 42\nteachers = [1]",
        "teachers is [1]; expected folders or model:FOLDER@COMMIT, as a list of strings",
    ),
    (
        "seed = 42",
        'seed = 42\nteachers = [""]',
        "teachers is ['']; expected folders or model:FOLDER@COMMIT, as a list of strings",
    ),
    ("seed = 42", 'seed = 42\nteachers = ["model:m@main"]', "teachers is ['model:m@main']; expected folders or model:"),
    ("seed = 42", 'seed = 42\nteacher = "runs/x"', "unknown key 'teacher'"),
    ("seed = 42", "seed = 42\nstate_weight = 1.0", "state_weight is 1.0; expected 0 without teachers"),
    (
        "seed = 42",
        "seed = 42\nunlabelled = { a = 5 }",
        "unlabelled is {'a': 5}; expected none without teachers to label",
    ),
    ("seed = 42", "seed = 42\nunlabelled = { a = 0 }", "unlabelled.'a' is 0; expected 1..1000000000 for FILE or FILE#"),
    ("seed = 42", "seed = 42\nunlabelled = { a = 1.5 }", "unlabelled.'a' is 1.5; expected 1..1000000000"),
    ("seed = 42", 'seed = 42\nunlabelled = { "#text" = 5 }', "unlabelled.'#text' is 5; expected 1..1000000000"),
    ("seed = 42", "seed = 42\nflip_share = 1.5", "flip_share is 1.5; expected 0..1"),
    ("seed = 42", "seed = 42\nswap_share = -0.1", "swap_share is -0.1; expected 0..1"),
    ("seed = 42", "seed = 42\nwritten_rows = -1", "written_rows is -1; expected 0..1000000000"),
    ("seed = 42", "seed = 42\nreworded_rows = 5", "reworded_rows is 5; expected 0 without teachers to label them"),
    ("seed = 42", "seed = 42\nlayers = -1", "layers is -1; expected 0..100"),
    ("seed = 42", "seed = 42\nlayer_decay = 0.0", "layer_decay is 0.0; expected 0.1..1"),
    ("seed = 42", "seed = 42\nr_drop = -1.0", "r_drop is -1.0; expected 0..100"),
    (
        'base = "random:bert"',
        'base = "encoder:runs/finance"',
        "method is 'lora'; expected 'full' on a base of ours",
    ),
    (
        'base = "random:bert"\nrevision = ""',
        f'base = "encoder:runs/finance"\nmethod = "full"\nrevision = "{40 * "a"}"',
        "; expected an empty string",
    ),
    (
        'base = "random:bert"\nrevision = ""\nweight_sha256 = ""',
        f'base = "encoder:runs/finance"\nmethod = "full"\nrevision = ""\nweight_sha256 = "{64 * "a"}"',
        "expected the base's 64 hex digits",
    ),
    ('base = "random:bert"', 'base = "encoder:"', "base is 'encoder:'; expected encoder:FOLDER"),
    ('base = "random:bert"', 'base = "run:"', "base is 'run:'; expected run:FOLDER"),
    ('base = "random:bert"', 'base = "run:runs/a-seed1"', "method is 'lora'; expected 'full' on a base of ours"),
    ('base = "random:bert"', 'base = "model:"', "base is 'model:'; expected model:FOLDER"),
    ('base = "random:bert"', 'base = "model:m"', "method is 'lora'; expected 'full' on a base of ours"),
    (
        'base = "random:bert"\nrevision = ""',
        'base = "model:m"\nmethod = "full"\nrevision = "main"',
        "revision is 'main'; expected a commit of this repository, 40 hex digits, or an empty string",
    ),
    ("seed = 42", "seed = 42\nintermediate_size = 8", "intermediate_size is 8; expected 0 with an adapter"),
    ("seed = 42", "seed = 42\nintermediate_size = -1", "intermediate_size is -1; expected 0..1000000"),
    ("seed = 42", 'seed = 42\nmethod = "full"\ndora = true', "dora is True; expected false with method 'full'"),
    ("seed = 42", 'seed = 42\nmethod = "full"\nrslora = true', "rslora is True; expected false with method 'full'"),
    ("score_weight = 1.0", 'score_head = "separate"', "score_weight is 0.0; expected above 0 for a separate head"),
    ("seed = 42", "seed = 42\nteacher_temperature = 2.0", "teacher_temperature is 2.0; expected 1.0 without teachers"),
    (
        "twitter = 1, fiqa = 1",
        "twitter = 1",
        "score_weight is 1.0; expected 0 without fiqa, the one source with scores",
    ),
]
MIXED = [
    (
        "phrasebank = 0.60, twitter = 0.15, fiqa = 0.25 }",
        'twitter = 1.0 }\nfiqa_labels = "percentile"',
        "fiqa_labels is 'percentile'; expected 'fixed' without fiqa",
    ),
    ("fiqa = 0.25", "fiqa = 0.35", "mix sums to 1.1; expected shares that sum to 1"),
    ("fiqa = 0.25", "fiqa = 0.0", "mix.fiqa is 0.0; expected 0..1"),
    ("fiqa = 0.25", "reddit = 0.25", "mix.reddit is 0.25; expected 0..1 for one of phrasebank"),
    ("86b5e0934494bd15c9632b12f734a8a67f723594", "main", "revision is 'main'; expected a commit of 40 hex digits"),
    ('method = "full"', 'method = "half"', "method is 'half'; expected one of full, lora, qlora"),
    ('weight_sha256 = ""', 'weight_sha256 = "abc"', "weight_sha256 is 'abc'; expected the base's 64 hex digits"),
]


@pytest.mark.parametrize(
    ("name", "found", "replacement", "message"),
    [*(("smoke", *case) for case in SMOKE), *(("baseline", *case) for case in MIXED)],
)
def test_a_bad_recipe_is_refused_with_file_and_key(
    tmp_path: Path, name: str, found: str, replacement: str, message: str
) -> None:
    text = (RECIPES / f"{name}.toml").read_text()
    assert found in text
    path = tmp_path / "bad.toml"
    path.write_text(text.replace(found, replacement))
    with pytest.raises(RecipeError) as refusal:
        load_recipe(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_recipe_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none.toml: cannot be read: No such file"):
        load_recipe(tmp_path / "none.toml")


def test_every_architecture_has_a_recipe_but_one_that_shares_its_parts() -> None:
    used = {load_recipe(RECIPES / f"{name}.toml").architecture for name in NAMES}
    assert set(ARCHITECTURES) - used == {"roberta"}
