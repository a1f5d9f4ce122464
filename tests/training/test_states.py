"""A student that is held against its teacher's states: the loss, what a fit does with it, and that no trace stays."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from safetensors.torch import load_file  # noqa: E402

from pipeline.config import HOME  # noqa: E402
from pipeline.errors import ModelError  # noqa: E402
from training import train as training_line  # noqa: E402
from training.batches import Batch, encode_examples, predict_logits, tabulate_rows  # noqa: E402
from training.data import Example  # noqa: E402
from training.fit import fit_model  # noqa: E402
from training.losses import Objective, compare_states, compute_loss  # noqa: E402
from training.model import build_model  # noqa: E402
from training.readers import LocalFolder  # noqa: E402
from training.recipe import load_recipe  # noqa: E402
from training.states import add_projection, drop_projection, find_state, read_states, standardise  # noqa: E402
from training.teacher import ask_states  # noqa: E402

SMOKE = load_recipe(Path(__file__).parents[2] / "training" / "recipes" / "smoke.toml")
QUICK = replace(SMOKE, name="quick", method="full", train_limit=64, epochs=1)
ROWS = [Example(text, "ab", i % 3, None, "phrasebank") for i, text in enumerate(["profit falls", "b", "sales up 5%"])]
CPU = torch.device("cpu")


def test_the_loss_is_the_mean_squared_difference_over_readings_rows_and_columns() -> None:
    states = torch.tensor([[0.0, 1.0], [2.0, -1.0]], dtype=torch.float16)
    assert compare_states(states.float(), states).item() == 0
    first, second = torch.tensor([[1.0, 1.0], [2.0, -1.0]]), torch.tensor([[0.0, 1.0], [2.0, 2.0]])
    assert compare_states(torch.cat([first, second]), states).item() == pytest.approx((1 + 9) / 8)


@pytest.mark.parametrize("r_drop", [0.0, 1.0])
def test_the_states_are_added_to_the_other_losses(r_drop: float) -> None:
    objective = Objective(state_weight=3.0, r_drop=r_drop)
    states = torch.zeros(2, 4)
    batch = Batch({}, torch.tensor([0, 2]), torch.tensor([math.nan] * 2), None, states)
    logits, projected = torch.randn(2 * objective.passes, 3), torch.randn(2 * objective.passes, 4)
    plain = compute_loss(logits, batch, objective)
    found = compute_loss(logits, batch, objective, projected)
    assert found.item() == pytest.approx(plain.item() + 3 * projected.square().mean().item(), rel=1e-5)


def test_standardised_states_have_mean_0_and_deviation_1_but_for_a_column_that_never_changes() -> None:
    states = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 20.0, 0.0]) + 7
    found = standardise(states)
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.square().mean(dim=0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta", "mpnet", "deberta-v2", "modernbert"])
def test_states_are_those_that_the_head_reads_in_the_order_of_the_rows(architecture: str) -> None:
    model, tokenizer = build_model(replace(QUICK, base=f"random:{architecture}", architecture=architecture))
    encoded = encode_examples(ROWS, tokenizer, 32)
    logits, states = read_states(model, tokenizer, encoded)
    torch.testing.assert_close(logits, predict_logits(model, tokenizer, encoded))
    with torch.inference_mode():
        for row, state in zip(encoded, states, strict=True):
            inputs = {name: torch.tensor([values]) for name, values in row.items()}
            alone = find_state(model(**inputs, output_hidden_states=True))[0]
            torch.testing.assert_close(state, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_projection_is_trained_beside_the_model_and_leaves_no_trace(method: str) -> None:
    recipe = replace(QUICK, method=method, epochs=40, learning_rate=1e-2, warmup_share=0.0)
    accelerator = training_line.start_accelerator("fp32")
    training_line.seed_everything(0)
    model, tokenizer = build_model(recipe)
    before = {name: weight.shape for name, weight in model.named_parameters()}
    states = standardise(torch.randn(len(ROWS), 5))
    hook = add_projection(model, 5)
    table = tabulate_rows(ROWS, tokenizer, recipe.max_length, None, states)
    batch = table.load_batch(range(len(ROWS)), CPU)

    def miss() -> float:
        model.eval()
        with torch.inference_mode():
            output = model(**batch.inputs, output_hidden_states=True)
        return compare_states(output["projected"], batch.states).item()

    first = miss()
    fit_model(accelerator, model, recipe, table, ROWS, [[0, 1, 2]] * 40, Objective(state_weight=5.0))
    assert miss() < 0.5 * first
    assert "projected" not in model(**batch.inputs)
    drop_projection(model, hook)
    assert {name: weight.shape for name, weight in model.named_parameters()} == before
    assert "projected" not in model(**batch.inputs, output_hidden_states=True)


def test_a_student_of_states_is_another_one_and_its_folder_the_same_in_kind(
    mini_data: LocalFolder, tmp_path: Path
) -> None:
    """The teacher is of another architecture and width than the student."""
    base = {"base": "random:mpnet", "architecture": "mpnet"}
    teacher = training_line.train_recipe(replace(QUICK, name="teacher", **base), mini_data, tmp_path)
    taught = replace(QUICK, teachers=[str(teacher)], teacher_weight=0.5)
    plain = training_line.train_recipe(taught, mini_data, tmp_path / "plain")
    found = training_line.train_recipe(replace(taught, state_weight=2.0), mini_data, tmp_path / "states")
    one, other = (load_file(folder / "model.safetensors") for folder in (plain, found))
    assert one.keys() == other.keys()
    assert any(not torch.equal(one[name], other[name]) for name in one)
    assert "output_hidden_states" not in (found / "config.json").read_text()


def test_an_exported_model_shows_no_states() -> None:
    with pytest.raises(ModelError, match="expected a folder written by `python -m training train`"):
        ask_states([HOME / "default_model"], ROWS, CPU, is_bf16=False)


def test_a_decoder_is_neither_teacher_nor_student_of_states() -> None:
    model, tokenizer = build_model(replace(QUICK, base="random:qwen2", architecture="qwen2"))
    for refused in (lambda: read_states(model, tokenizer, []), lambda: add_projection(model, 5)):
        with pytest.raises(ModelError, match="state_weight: qwen2 is a decoder"):
            refused()
