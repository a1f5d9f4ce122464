"""One encoder recipe file -> a frozen EncoderRecipe, or a refusal that names file, key and what was expected."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import tomlkit

from .recipe import OURS, check_base
from .rules import NAME_RULE, Rule, among, check_rules, read_table, within


@dataclass(frozen=True, slots=True)
class EncoderRecipe:
    """Everything that decides what a pretraining produces.

    ``base``, ``revision``, ``weight_sha256``, ``architecture``, ``max_length`` (tokens), ``batch_size`` (rows),
    ``learning_rate`` at its peak, ``warmup_share`` of the steps and ``precision`` mean what they do in a Recipe.
    ``headlines`` are drawn from ``corpus``, a Parquet file of the data folder; the labelled sets' training texts come
    ``labelled_repeats`` times beside them. ``vocabulary`` is how many pieces of the base's are kept, 0 for all.
    ``mask_share`` in 0..1 of the pieces are guessed. With 0 ``epochs`` nothing is learnt: the encoder is the base,
    cut down.
    """

    name: str
    base: str
    revision: str
    weight_sha256: str
    seed: int
    corpus: str
    headlines: int
    vocabulary: int
    max_length: int
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup_share: float
    mask_share: float
    labelled_repeats: int = 0
    architecture: str = "bert"
    precision: str = "auto"


def load_encoder_recipe(path: Path) -> EncoderRecipe:
    """Read and check the encoder recipe at ``path``.

    Raises:
        RecipeError: one line naming file, key, what was found and what was expected.
    """
    recipe = EncoderRecipe(**read_table(path, EncoderRecipe))
    check_rules(str(path), recipe, _RULES)
    check_base(str(path), recipe)
    return recipe


def format_encoder(recipe: EncoderRecipe) -> str:
    """Return ``recipe`` as the TOML file that loads as the same recipe."""
    return tomlkit.dumps(asdict(recipe))


_RULES: tuple[Rule, ...] = (
    NAME_RULE,
    ("architecture", *among("bert", "distilbert", "roberta", "deberta-v2", "modernbert")),
    ("precision", *among("auto", "fp32", "bf16", "fp16")),
    ("base", lambda value: not value.startswith(OURS), "a published base, none of ours"),
    ("corpus", bool, "a Parquet file of the data folder"),
    ("seed", *within(0, 2**31 - 1)),
    ("headlines", *within(1, 10**9)),
    ("labelled_repeats", *within(0, 100)),
    ("vocabulary", *within(0, 10**6)),
    ("max_length", *within(8, 512)),
    ("epochs", *within(0, 100)),
    ("batch_size", *within(1, 4096)),
    ("learning_rate", *within(1e-7, 1)),
    ("weight_decay", *within(0, 1)),
    ("warmup_share", *within(0, 1)),
    ("mask_share", *within(0.01, 0.9)),
)
