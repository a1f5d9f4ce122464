"""A step's parts: the rates of the layers, a batch read twice, and the same gradient whatever the cut."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("accelerate", reason="training needs accelerate")

from accelerate import Accelerator  # noqa: E402

from training.batches import tabulate_rows  # noqa: E402
from training.data import Example  # noqa: E402
from training.losses import choose_objective  # noqa: E402
from training.model import build_model  # noqa: E402
from training.recipe import ARCHITECTURES, load_recipe  # noqa: E402
from training.steps import find_depth, group_weights, prepare_fitting, repeat_inputs, take_step  # noqa: E402

SMOKE = load_recipe(Path(__file__).parents[2] / "training" / "recipes" / "smoke.toml")


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        ("classifier.weight", 0),
        ("bert.pooler.dense.weight", 0),
        ("bert.encoder.layer.5.output.dense.weight", 1),
        ("bert.encoder.layer.0.output.dense.weight", 6),
        ("bert.embeddings.word_embeddings.weight", 7),
        ("module.distilbert.transformer.layer.2.ffn.lin1.bias", 4),
        ("base_model.model.roberta.encoder.layer.4.output.dense.lora_A.default.weight", 2),
        ("model.layers.3.mlp.up_proj.weight", 3),
        ("model.embed_tokens.weight", 7),
        ("model.norm.weight", 0),
        ("score.weight", 0),
    ],
)
def test_a_parameter_lies_so_many_layers_below_the_head(name: str, depth: int) -> None:
    assert find_depth(name, 6) == depth


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_lower_layers_learn_more_slowly_in_every_architecture(architecture: str) -> None:
    recipe = replace(SMOKE, base=f"random:{architecture}", architecture=architecture, method="full")
    model, _ = build_model(recipe)
    groups = group_weights(model, 0.1, 0.5)
    assert [group["lr"] for group in groups] == pytest.approx([0.1, 0.05, 0.025])
    found = Counter(id(weight) for group in groups for weight in group["params"])
    assert found == Counter(id(weight) for weight in model.parameters() if weight.requires_grad)
    names = {id(weight): name for name, weight in model.named_parameters()}
    assert all(re.search(r"layers?\.0\.", names[id(weight)]) for weight in groups[1]["params"])
    assert all("embed" in names[id(weight)] for weight in groups[2]["params"])


def test_a_decay_of_one_is_a_single_group_in_the_models_order() -> None:
    model, _ = build_model(SMOKE)
    (group,) = group_weights(model, 0.1, 1.0)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    assert group.keys() == {"params"}
    assert all(one is other for one, other in zip(group["params"], trained, strict=True))


def test_inputs_are_repeated_below_one_another() -> None:
    inputs = {"input_ids": torch.tensor([[1, 2], [3, 4]])}
    assert repeat_inputs(inputs, 1) is inputs
    assert repeat_inputs(inputs, 2)["input_ids"].tolist() == [[1, 2], [3, 4], [1, 2], [3, 4]]


def take_one_step(rows: Sequence[Example], **changes: object) -> tuple[float, dict[str, torch.Tensor]]:
    """Return the loss of a step on all ``rows`` and the weights after it."""
    recipe = replace(SMOKE, batch_size=len(rows), encoder_dropout=0.0, lora_dropout=0.0, epochs=1, **changes)
    torch.manual_seed(0)
    model, tokenizer = build_model(recipe)
    table = tabulate_rows(rows, tokenizer, recipe.max_length)
    objective = choose_objective(recipe, [row.label for row in rows], torch.device("cpu"))
    fitting = prepare_fitting(Accelerator(cpu=True), model, recipe, table, [range(len(rows))], objective)
    fitting.model.train()
    loss = take_step(fitting, range(len(rows)))
    return loss.item(), {name: weight.detach().clone() for name, weight in fitting.bare_model.named_parameters()}


EXAMPLES = [
    Example(f"company {number} says profit is {word}", "", label, None, "phrasebank")
    for number, (word, label) in enumerate([("up", 2), ("down", 0), ("flat", 1), ("unknown", -1)])
]


@pytest.mark.parametrize(
    "changes", [{"r_drop": 0.7}, {"layer_decay": 0.8}, {"r_drop": 0.7, "class_weights": "balanced"}]
)
def test_the_step_is_the_same_whatever_the_cut(changes: dict[str, object]) -> None:
    whole, weights = take_one_step(EXAMPLES, **changes)
    for accumulate in (2, 4):
        loss, parts = take_one_step(EXAMPLES, accumulate=accumulate, **changes)
        assert loss == pytest.approx(whole, rel=1e-5)
        for name, weight in weights.items():
            torch.testing.assert_close(parts[name], weight, atol=1e-4, rtol=1e-3)


def test_two_passes_without_dropout_are_as_one() -> None:
    once, twice = take_one_step(EXAMPLES), take_one_step(EXAMPLES, r_drop=2.0)
    assert twice[0] == pytest.approx(once[0], rel=1e-5)


def test_a_step_on_rows_without_labels_alone_is_a_number() -> None:
    loss, weights = take_one_step(EXAMPLES[3:])
    assert loss == 0
    assert all(weight.isfinite().all() for weight in weights.values())
