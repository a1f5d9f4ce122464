"""A model with fewer layers is the old one without the others, and is read back as the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="training needs torch")

from transformers import AutoConfig, AutoModelForSequenceClassification  # noqa: E402

from pipeline.errors import ModelError  # noqa: E402
from training.layers import choose_layers, find_stack, keep_layers  # noqa: E402
from training.recipe import ARCHITECTURES  # noqa: E402
from training.tiny import write_tiny  # noqa: E402


def make_model(architecture: str, folder: Path, layers: int = 6) -> torch.nn.Module:
    write_tiny(architecture, folder)
    config = AutoConfig.from_pretrained(folder)
    config.num_hidden_layers, config.num_labels = layers, 3
    if getattr(config, "layer_types", None):
        config.layer_types = ["full_attention"] * layers
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(config).eval()


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "modernbert"])
def test_the_kept_layers_are_the_old_ones_and_survive_saving(architecture: str, tmp_path: Path) -> None:
    model = make_model(architecture, tmp_path / "base")
    old = list(find_stack(model, 6)[1])
    keep_layers(model, 4)
    assert [old.index(layer) for layer in find_stack(model, 4)[1]] == [0, 2, 3, 5]
    inputs = {"input_ids": torch.tensor([[7, 8, 9, 10]]), "attention_mask": torch.ones(1, 4, dtype=torch.int64)}
    model.save_pretrained(tmp_path / "small")
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "small").eval()
    with torch.no_grad():
        torch.testing.assert_close(again(**inputs).logits, model(**inputs).logits)
    assert again.config.num_hidden_layers == 4


@pytest.mark.parametrize("count", [0, 6])
def test_all_layers_are_the_model_as_it_was(count: int, tmp_path: Path) -> None:
    model = make_model("bert", tmp_path)
    before = list(model.state_dict())
    keep_layers(model, count)
    assert list(model.state_dict()) == before


@pytest.mark.parametrize(("architecture", "count"), [("bert", 7), ("modernbert", 3)])
def test_what_cannot_be_done_is_refused_in_one_line(architecture: str, count: int, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"^layers is [^\n]+$"):
        keep_layers(make_model(architecture, tmp_path), count)


@pytest.mark.parametrize(
    ("total", "count", "expected"),
    [(6, 4, [0, 2, 3, 5]), (6, 3, [1, 3, 5]), (12, 6, [1, 3, 5, 7, 9, 11]), (6, 1, [5]), (3, 3, [0, 1, 2])],
)
def test_the_layers_chosen(total: int, count: int, expected: list[int]) -> None:
    assert choose_layers(total, count) == expected


@given(st.integers(1, 48), st.data())
def test_layers_are_spread_evenly_and_end_with_the_last(total: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, total))
    kept = choose_layers(total, count)
    gaps = {after - before for before, after in zip([-1, *kept], kept, strict=False)}
    assert len(kept) == count
    assert kept[-1] == total - 1
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 1
