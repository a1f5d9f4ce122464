"""Recipes that ship load; anything unknown or impossible is refused with file, key and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.recipe import PACKAGE, RecipeError, load_recipe

RECIPES = Path(__file__).parents[2] / "training" / "recipes"


def test_every_recipe_that_ships_loads_and_is_named_after_its_file() -> None:
    paths = sorted(RECIPES.glob("*.toml"))
    assert [load_recipe(path).name for path in paths] == [path.stem for path in paths]
    assert {"default", "smoke"} <= {path.stem for path in paths}
    assert load_recipe(RECIPES / "default.toml").base == PACKAGE


CASES = [
    ("epochs = 2", "epochs = 0", "epochs is 0; expected 1..100"),
    ("epochs = 2", 'epochs = "2"', "epochs is '2'; expected int"),
    ("epochs = 2", "epochs = true", "epochs is True; expected int"),
    ("epochs = 2", "epochs = 2\nepoch = 3", "unknown key 'epoch'"),
    ("epochs = 2", "", "key 'epochs' is missing"),
    ("learning_rate = 5e-3", "learning_rate = -1", "learning_rate is -1.0; expected 1e-07..1"),
    ("learning_rate = 5e-3", "learning_rate = nan", "learning_rate is nan"),
    ('name = "smoke"', 'name = "../x"', "name is '../x'; expected lower-case"),
    ('target_modules = "all-linear"', 'target_modules = "query"', "target_modules is 'query'; expected 'all-linear'"),
    ("fiqa = 1", "fiqa = 0", "repeats.fiqa is 0; expected 1..100"),
    ("fiqa = 1", "reddit = 1", "repeats.reddit is 1; expected 1..100 for one of phrasebank"),
    ('base = "random:tiny"', 'base = "/models/mine"', "base is '/models/mine'; expected package:"),
    ('base = "random:tiny"', 'base = "owner/name"', "revision is ''; expected a commit of 40 hex digits"),
    ('revision = ""', 'revision = "main"', "revision is 'main'; expected an empty string"),
    ('base = "random:tiny"\nrevision = ""', f'base = "{PACKAGE}"\nrevision = "0.1.0"', "weight_sha256 is ''; expected"),
    ("epochs = 2", "epochs = ", "not a TOML file"),
]


@pytest.mark.parametrize(("found", "replacement", "message"), CASES)
def test_a_bad_recipe_is_refused_with_file_and_key(tmp_path: Path, found: str, replacement: str, message: str) -> None:
    text = (RECIPES / "smoke.toml").read_text()
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
