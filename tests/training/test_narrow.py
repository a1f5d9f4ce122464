"""An encoder with fewer neurons says nearly what it said: the others take over the work of those that went."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="training needs torch")

from transformers import AutoConfig, AutoModel  # noqa: E402

from pipeline.errors import ModelError  # noqa: E402
from training.narrow import NARROWED, narrow_layers, remove_neurons  # noqa: E402
from training.recipe import ARCHITECTURES  # noqa: E402
from training.tiny import write_tiny  # noqa: E402


def make_encoder(architecture: str, folder: Path) -> torch.nn.Module:
    write_tiny(architecture, folder)
    torch.manual_seed(0)
    return AutoModel.from_config(AutoConfig.from_pretrained(folder)).eval()


def draw_rows(count: int = 40) -> list[dict[str, torch.Tensor]]:
    torch.manual_seed(1)
    return [
        {"input_ids": torch.randint(5, 20, (1, length)), "attention_mask": torch.ones(1, length, dtype=torch.int64)}
        for length in torch.randint(4, 12, (count,)).tolist()
    ]


def draw_neurons(seed: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return 200 tokens' worth of what ``count`` neurons that hang together say, mean 0, and weights that read it."""
    torch.manual_seed(seed)
    said = torch.randn(200, count, dtype=torch.float64) @ torch.randn(count, count, dtype=torch.float64)
    return said - said.mean(dim=0), torch.randn(3, count, dtype=torch.float64)


def measure_change(said: torch.Tensor, weights: torch.Tensor, kept: torch.Tensor, kept_weights: torch.Tensor) -> float:
    return float((said @ weights.T - said[:, kept] @ kept_weights.T).square().mean())


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(2, 12), data=st.data())
def test_those_that_stay_lose_no_more_than_if_the_others_were_just_cut(
    seed: int, count: int, data: st.DataObject
) -> None:
    said, weights = draw_neurons(seed, count)
    size = data.draw(st.integers(1, count))
    kept, changed = remove_neurons(weights, said.T @ said / len(said), size)
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert changed.shape == (3, size)
    assert measure_change(said, weights, kept, changed) <= measure_change(said, weights, kept, weights[:, kept]) + 1e-9


def test_a_neuron_that_another_repeats_goes_first_and_its_weight_goes_to_that_one() -> None:
    said, weights = draw_neurons(0, 6)
    said[:, 4] = 2 * said[:, 1]
    kept, changed = remove_neurons(weights, said.T @ said / len(said), 5)
    assert {1, 4} - set(kept.tolist()), "one of the two is left"
    assert measure_change(said, weights, kept, changed) < 1e-4 * (said @ weights.T).square().mean()


def test_of_independent_neurons_the_least_heard_goes() -> None:
    weights = torch.tensor([[1.0, 3.0, 2.0]], dtype=torch.float64)
    variances = torch.tensor([4.0, 1.0, 0.5], dtype=torch.float64)
    kept, changed = remove_neurons(weights, variances.diag(), 2)
    assert kept.tolist() == [0, 1]
    torch.testing.assert_close(changed, weights[:, :2])


@pytest.mark.parametrize("architecture", NARROWED)
def test_the_narrow_encoder_survives_saving_and_stays_near(architecture: str, tmp_path: Path) -> None:
    encoder, rows = make_encoder(architecture, tmp_path / "base"), draw_rows()
    with torch.no_grad():
        before = [encoder(**row).last_hidden_state for row in rows]
        size = encoder.config.intermediate_size * 3 // 4
        narrow_layers(encoder, size, rows)
        encoder.save_pretrained(tmp_path / "narrow")
        again = AutoModel.from_pretrained(tmp_path / "narrow").eval()
        after = [again(**row).last_hidden_state for row in rows]
    assert again.config.intermediate_size == size
    change = torch.cat([(one - other).flatten() for one, other in zip(before, after, strict=True)])
    assert change.square().mean().sqrt() < 0.05 * torch.cat([one.flatten() for one in before]).std()


@pytest.mark.parametrize("is_all", [False, True])
def test_all_neurons_are_the_encoder_as_it_was(is_all: bool, tmp_path: Path) -> None:
    encoder = make_encoder("bert", tmp_path)
    before = {name: values.clone() for name, values in encoder.state_dict().items()}
    narrow_layers(encoder, encoder.config.intermediate_size if is_all else 0, [])
    torch.testing.assert_close(encoder.state_dict(), before)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_cannot_be_done_is_refused_in_one_line(architecture: str, tmp_path: Path) -> None:
    if architecture in NARROWED:
        expected, size = r"^intermediate_size is 5000; the base has \d+$", 5000
    else:
        expected, size = rf"^intermediate_size is 8; expected 0 for {architecture}$", 8
    with pytest.raises(ModelError, match=expected):
        narrow_layers(make_encoder(architecture, tmp_path), size, draw_rows(1))
