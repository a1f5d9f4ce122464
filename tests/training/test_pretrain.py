"""A tiny encoder learns masked words: the same bytes twice, a falling loss, and a folder that is whole or not there."""

from __future__ import annotations

import errno
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("accelerate", reason="training needs accelerate")
pytest.importorskip("pyarrow", reason="headlines are Parquet files, which pyarrow reads")

from pipeline.errors import ModelError, PipelineError  # noqa: E402
from tests.training.conftest import CORPUS, ENCODER, make_headlines, write_headlines  # noqa: E402
from training import pretrain  # noqa: E402
from training.__main__ import main  # noqa: E402
from training.bases import Base, load_tokenizer, open_base  # noqa: E402
from training.data import load_examples  # noqa: E402
from training.encoder_recipe import format_encoder, load_encoder_recipe  # noqa: E402
from training.model import build_model  # noqa: E402
from training.pretrain import (  # noqa: E402
    IGNORED,
    PretrainingError,
    load_encoder,
    mask_pieces,
    pretrain_encoder,
    smooth_losses,
)
from training.readers import DataError, LocalFolder  # noqa: E402
from training.recipe import load_recipe  # noqa: E402
from training.splits import SPLIT_SEED, fingerprint_splits, split_examples  # noqa: E402
from training.unfinished import hold_folder  # noqa: E402

RECIPE = replace(ENCODER, headlines=200, max_length=48, epochs=2, batch_size=8, learning_rate=1e-2, weight_decay=0.01)
SMOKE = load_recipe(Path(__file__).parents[2] / "training" / "recipes" / "smoke.toml")


@pytest.fixture(autouse=True, scope="module")
def use_one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def data(corpus_root: Path) -> LocalFolder:
    return LocalFolder(corpus_root)


@pytest.fixture(scope="module")
def encoder(data: LocalFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pretrain_encoder(RECIPE, data, tmp_path_factory.mktemp("encoders") / "runs")


def read(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / name).read_text())


def test_the_folder_is_whole_sealed_and_says_where_it_comes_from(encoder: Path, data: LocalFolder) -> None:
    provenance, names = read(encoder, "provenance.json"), {path.name for path in encoder.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "metrics.json", "recipe.toml"} <= names
    assert set(provenance["files"]) == names - {"provenance.json"}
    assert [path.name for path in encoder.parent.iterdir()] == ["wire"]
    assert load_encoder_recipe(encoder / "recipe.toml") == RECIPE
    examples = load_examples(data)
    assert provenance["base"] == {"id": "random:bert", "revision": "", "weight_sha256": "", "architecture": "bert"}
    assert provenance["splits"] == fingerprint_splits(examples, split_examples(examples, SPLIT_SEED))
    assert provenance["corpus"] == {
        "file": CORPUS,
        "sha256": hashlib.sha256(data.find_file(CORPUS).read_bytes()).hexdigest(),
        "headline_count": 200,
    }
    assert str(encoder.parent.parent) not in "".join(path.read_bytes().decode("latin-1") for path in encoder.iterdir())


def test_the_loss_falls_and_is_no_secret(encoder: Path) -> None:
    metrics = read(encoder, "metrics.json")
    first, last = metrics["held_out_loss"]
    assert last < first < np.log(141)
    training = metrics["training_loss"]
    assert np.mean(training[-5:]) < np.mean(training[:5]) - 0.3


def test_the_same_recipe_gives_the_same_bytes_and_another_seed_others(
    encoder: Path, data: LocalFolder, tmp_path: Path
) -> None:
    again = pretrain_encoder(RECIPE, data, tmp_path / "again")
    other = pretrain_encoder(replace(RECIPE, seed=7), data, tmp_path / "other")
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (again / name).read_bytes() == (encoder / name).read_bytes()
    assert (other / "model.safetensors").read_bytes() != (encoder / "model.safetensors").read_bytes()
    assert read(again, "metrics.json")["held_out_loss"] == read(encoder, "metrics.json")["held_out_loss"]


def test_a_recipe_on_the_encoder_starts_from_its_weights_and_tokenizer(encoder: Path) -> None:
    from safetensors.torch import load_file

    recipe = replace(SMOKE, base=f"encoder:{encoder}", method="full")
    model, tokenizer = build_model(recipe)
    weights = load_file(encoder / "model.safetensors")
    found = dict(model.named_parameters())
    assert all(torch.equal(found[f"bert.{name}"], value) for name, value in weights.items())
    assert found["bert.embeddings.word_embeddings.weight"].shape[0] == len(tokenizer) == 141
    assert tokenizer("up 🚀")["input_ids"] == tokenizer("up soars")["input_ids"]
    assert set(tokenizer.model_input_names) == {"input_ids", "token_type_ids", "attention_mask"}


def test_a_cut_vocabulary_keeps_every_piece_its_own_row() -> None:
    base = Base("random:bert", "", "", "bert")
    with open_base(base) as folder:
        whole = load_tokenizer(folder, base)
    before, plain = load_encoder(replace(RECIPE, vocabulary=0), ["a b"])
    after, cut = load_encoder(RECIPE, ["a b"])
    assert plain.get_vocab() == whole.get_vocab()
    old, new = (one.get_input_embeddings().weight for one in (before, after))
    for piece, i in cut.get_vocab().items():
        assert torch.equal(new[i], old[whole.get_vocab()[piece]])
    assert (after.config.vocab_size, after.config.pad_token_id) == (len(cut), cut.pad_token_id)


@pytest.fixture(scope="module")
def ids(encoder: Path) -> tuple[Any, torch.Tensor]:
    _, tokenizer = build_model(replace(SMOKE, base=f"encoder:{encoder}", method="full"))
    return tokenizer, tokenizer([f"acme says profit rises {i}" for i in range(300)], ["acme"] * 300, padding=True,
                                return_tensors="pt")["input_ids"]  # fmt: skip


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_a_share_of_the_pieces_is_hidden_and_no_special_token(ids: tuple[Any, torch.Tensor], share: float) -> None:
    tokenizer, rows = ids
    shown, labels = mask_pieces(rows, tokenizer, share, torch.Generator().manual_seed(1))
    special = torch.isin(rows, torch.tensor(tokenizer.all_special_ids))
    chosen = labels != IGNORED
    assert not (chosen & special).any()
    assert torch.equal(labels[chosen], rows[chosen])
    assert torch.equal(shown[~chosen], rows[~chosen])
    count = int(chosen.sum())
    assert count / int((~special).sum()) == pytest.approx(share, abs=0.03)
    masked = shown[chosen] == tokenizer.mask_token_id
    assert float(masked.float().mean()) == pytest.approx(0.8, abs=0.06)
    kept = shown[chosen] == rows[chosen]
    assert float(kept.float().mean()) == pytest.approx(0.1, abs=0.05)


def test_a_batch_always_has_something_to_guess_but_for_empty_rows(ids: tuple[Any, torch.Tensor]) -> None:
    tokenizer, _ = ids
    rows = tokenizer(["a", "b"], ["", ""], return_tensors="pt")["input_ids"]
    for seed in range(20):
        _, labels = mask_pieces(rows, tokenizer, 0.01, torch.Generator().manual_seed(seed))
        assert (labels != IGNORED).sum() >= 1
    empty = tokenizer([""], [""], return_tensors="pt")["input_ids"]
    shown, labels = mask_pieces(empty, tokenizer, 0.5, torch.Generator().manual_seed(1))
    assert torch.equal(shown, empty)
    assert (labels == IGNORED).all()


def test_losses_are_kept_as_at_most_fifty_means() -> None:
    assert list(smooth_losses([1.0, 2.0, 3.0])) == [1.0, 2.0, 3.0]
    found = list(smooth_losses([float(i) for i in range(120)]))
    assert len(found) == 40
    assert found[0] == 1.0


def test_an_encoder_that_is_there_or_being_made_is_left_alone(encoder: Path, data: LocalFolder, tmp_path: Path) -> None:
    before = (encoder / "model.safetensors").stat().st_mtime_ns
    with pytest.raises(PretrainingError, match="wire exists; remove it or choose another --output"):
        pretrain_encoder(RECIPE, data, encoder.parent)
    assert (encoder / "model.safetensors").stat().st_mtime_ns == before
    with (
        hold_folder(tmp_path / "wire.unfinished"),
        pytest.raises(PipelineError, match="wire.unfinished: another process"),
    ):
        pretrain_encoder(RECIPE, data, tmp_path)
    assert (tmp_path / "wire.unfinished").is_dir()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk failed: .*No space left on device; nothing was"),
        (Exception("I/O error: No space left on device (os error 28)"), "the disk failed: .*; nothing was written"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: x"), "out of memory at batch_size 8: free some"),
        (KeyboardInterrupt(), "^$"),
        (ValueError("a fault of ours"), "a fault of ours"),
    ],
)
def test_what_ends_it_leaves_nothing_behind_and_speaks_in_one_line(
    error: BaseException, message: str, data: LocalFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(pretrain, "write_json", fail)  # the weights are written by then
    expected = PretrainingError if message.startswith(("the disk", "out of")) else type(error)
    with pytest.raises(expected, match=message) as caught:
        pretrain_encoder(replace(RECIPE, headlines=20, epochs=1, labelled_repeats=0), data, tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"corpus": "none.parquet"}, DataError, "data file missing: .*none.parquet"),
        ({"vocabulary": 30}, ModelError, "vocabulary is 30; expected at least 141"),
        (
            {"base": "random:roberta", "architecture": "roberta"},
            ModelError,
            "random:roberta: its tokenizer has no mask",
        ),
        ({"base": "random:distilbert"}, ModelError, "architecture is 'bert'; random:distilbert has model_type"),
        ({"learning_rate": 1e30, "vocabulary": 0}, PretrainingError, "the loss is not a number in epoch 1; lower"),
        pytest.param(
            {"precision": "fp16"},
            PipelineError,
            "precision is 'fp16'; expected a GPU",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU has fp16"),
        ),
    ],
)
def test_what_cannot_be_pretrained_is_refused_in_one_line(
    changes: dict[str, Any], error: type[Exception], message: str, data: LocalFolder, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message) as refusal:
        pretrain_encoder(replace(RECIPE, **changes), data, tmp_path)
    assert "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_a_corpus_of_a_few_headlines_is_refused_and_an_output_that_is_a_file(mini_root: Path, tmp_path: Path) -> None:
    (tmp_path / "labelled").symlink_to(mini_root / "labelled")
    write_headlines(tmp_path / CORPUS, make_headlines(9, Random(1)))
    with pytest.raises(PretrainingError, match=r"headlines.parquet: \d headlines to learn from; expected 10"):
        pretrain_encoder(RECIPE, LocalFolder(tmp_path), tmp_path / "runs")
    (tmp_path / "file").write_text("")
    with pytest.raises(PretrainingError, match="--output .*file cannot be made: File exists"):
        pretrain_encoder(RECIPE, LocalFolder(tmp_path), tmp_path / "file")


def test_the_verb_names_the_folder(
    corpus_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FINANCIAL_SENTIMENT_DATA", str(corpus_root))
    path = tmp_path / "wire.toml"
    path.write_text(format_encoder(replace(RECIPE, headlines=20, epochs=1, labelled_repeats=0)))
    assert main(["pretrain", str(path), "--output", str(tmp_path / "runs")]) == 0
    assert f"encoder: {tmp_path / 'runs' / 'wire'}" in capsys.readouterr().out
    assert main(["pretrain", str(path), "--output", str(tmp_path / "runs")]) == 2
    assert "wire exists" in capsys.readouterr().err
