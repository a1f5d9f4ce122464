"""A tiny random encoder through the whole line: fit, calibration, run folder, and what happens when it goes wrong."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("accelerate", reason="training needs accelerate")

from pipeline.errors import ModelError, PipelineError  # noqa: E402
from pipeline.model_folder import write_provenance  # noqa: E402
from pipeline.text import LABELS  # noqa: E402
from training import fit as fitting  # noqa: E402
from training import measure  # noqa: E402
from training import train as training_line  # noqa: E402
from training.batches import encode_examples, group_batches, predict_probabilities, tabulate_rows  # noqa: E402
from training.calibrate import fit_temperature  # noqa: E402
from training.contamination import find_contamination  # noqa: E402
from training.course import find_best, find_rate, is_stalled  # noqa: E402
from training.data import SOURCES, Example, load_examples  # noqa: E402
from training.fiqa import find_terciles  # noqa: E402
from training.losses import Objective, choose_objective  # noqa: E402
from training.model import build_model, load_base, trainable_state  # noqa: E402
from training.predict import load_scorer  # noqa: E402
from training.predictions import probabilities_of, read_predictions  # noqa: E402
from training.readers import LocalFolder  # noqa: E402
from training.recipe import Recipe, load_recipe  # noqa: E402
from training.rows import read_rows  # noqa: E402
from training.run_folder import describe_run  # noqa: E402
from training.splits import SPLIT_SEED, fingerprint_splits, split_examples  # noqa: E402
from training.steps import Fitting, TrainingError, prepare_fitting, take_step  # noqa: E402
from training.teacher import check_splits, describe_teacher  # noqa: E402
from training.unfinished import explain_fault  # noqa: E402

SMOKE = load_recipe(Path(__file__).parents[2] / "training" / "recipes" / "smoke.toml")
QUICK = replace(SMOKE, name="quick", train_limit=64, epochs=1)


@pytest.fixture(autouse=True, scope="module")
def use_one_thread() -> None:
    """The tiny model is far too small for two threads, and slow with them on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def run_folder(mini_data: LocalFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training_line.train_recipe(SMOKE, mini_data, tmp_path_factory.mktemp("runs"))


def read(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / name).read_text())


def test_the_run_folder_is_complete_and_hashes_every_file(run_folder: Path) -> None:
    files = read(run_folder, "provenance.json")["files"]
    names = {path.name for path in run_folder.iterdir()}
    weights = {"adapter_model.safetensors", "adapter_config.json", "config.json", "tokenizer.json"}
    assert weights | {"metrics.json", "predictions.csv", "recipe.toml"} <= names
    assert set(files) == names - {"provenance.json"}
    for name, digest in files.items():
        assert hashlib.sha256((run_folder / name).read_bytes()).hexdigest() == digest
    assert load_recipe(run_folder / "recipe.toml") == SMOKE
    assert [path.name for path in run_folder.parent.iterdir()] == ["smoke-seed42"]


def test_labels_are_explicit_and_no_local_path_is_published(run_folder: Path, mini_root: Path) -> None:
    assert read(run_folder, "config.json")["id2label"] == {str(i): name for i, name in enumerate(LABELS)}
    assert read(run_folder, "adapter_config.json")["base_model_name_or_path"] == "random:bert"
    local = (str(run_folder.parent), str(mini_root), str(Path(__file__).parents[2]), str(Path.home()), "site-packages")
    for path in run_folder.iterdir():
        content = path.read_bytes().decode("utf-8", "replace")
        assert not [place for place in local if len(place) > 1 and place in content], path


def test_provenance_names_data_splits_and_machine(run_folder: Path, mini_data: LocalFolder) -> None:
    provenance = read(run_folder, "provenance.json")
    examples = load_examples(mini_data)
    assert provenance["splits"] == fingerprint_splits(examples, split_examples(examples, SPLIT_SEED))
    assert set(provenance["data"]) == set(SOURCES)
    assert provenance["base"]["id"] == "random:bert"
    assert (provenance["recipe"], provenance["seed"], provenance["max_length"]) == ("smoke", 42, 64)
    assert (provenance["device"], provenance["processes"], provenance["contamination"]) == ("cpu", 1, [])
    assert {"torch", "accelerate", "transformers"} <= set(provenance["libraries"])


def test_metrics_hold_epochs_cost_calibration_and_baselines(run_folder: Path) -> None:
    metrics = read(run_folder, "metrics.json")
    best = max(record["macro_f1"] for record in metrics["epochs"])
    assert metrics["epochs"][metrics["best_epoch"] - 1]["macro_f1"] == best
    for split in ("validation", "test"):
        assert {*SOURCES, "overall", "mix"} == set(metrics[split]["model"])
        assert set(metrics[split]["baselines"]) == {"majority", "vader"}
    assert metrics["thresholds"] == [-0.1, 0.1]
    assert metrics["wall_s"] > 0
    assert metrics["peak_rss_mib"] > 0
    assert (metrics["peak_gpu_mib"] is None) == (not torch.cuda.is_available())
    assert not {"score_head", "test_percentile"} & set(metrics)


def test_the_temperature_is_in_the_weights_and_fitted_on_validation_alone(run_folder: Path) -> None:
    calibration = read(run_folder, "metrics.json")["calibration"]
    assert calibration["temperature"] != 1
    assert calibration["nll_after"] < calibration["nll_before"]
    table = read_predictions(run_folder / "predictions.csv")
    held = table[table["split"] == "validation"]
    again = fit_temperature(held["label"].map(LABELS.index).to_numpy(), probabilities_of(held))
    assert again == pytest.approx(1, abs=2e-3)


def test_the_saved_model_says_what_predictions_csv_and_the_test_measures_say(
    run_folder: Path, mini_data: LocalFolder
) -> None:
    rows, table = read_rows(SMOKE, mini_data), read_predictions(run_folder / "predictions.csv")
    for split, examples in (("validation", rows.validation), ("test", rows.test)):
        found = load_scorer(run_folder)(examples)
        np.testing.assert_allclose(found, probabilities_of(table[table["split"] == split]), atol=2e-6)
        accuracy = float(np.mean(found.argmax(axis=1) == [example.label for example in examples]))
        assert read(run_folder, "metrics.json")[split]["model"]["overall"]["accuracy"] == pytest.approx(accuracy)


def test_a_fitted_head_is_in_the_weights_and_validation_rows_are_judged_without_themselves(
    mini_data: LocalFolder, tmp_path: Path
) -> None:
    recipe = replace(QUICK, name="refit", calibration="head")
    folder = training_line.train_recipe(recipe, mini_data, tmp_path)
    calibration = read(folder, "metrics.json")["calibration"]
    assert calibration["ridge"] > 0
    rows, table = read_rows(recipe, mini_data), read_predictions(folder / "predictions.csv")
    apart = {
        split: np.abs(load_scorer(folder)(examples) - probabilities_of(table[table["split"] == split])).max()
        for split, examples in (("validation", rows.validation), ("test", rows.test))
    }
    assert apart["test"] < 2e-6
    assert apart["validation"] > 1e-4


def test_probabilities_do_not_depend_on_order_or_batch_mates(run_folder: Path) -> None:
    score = load_scorer(run_folder)
    rows = [Example(f"profit {'soars ' * n}", "Acme" * (n % 2), 0, None, "fiqa") for n in range(1, 9)]
    together = score(rows)
    assert together.sum(axis=1) == pytest.approx(np.ones(8), abs=1e-6)
    np.testing.assert_allclose(score(rows[::-1])[::-1], together, atol=1e-6)
    np.testing.assert_allclose(score(rows[:1]), together[:1], atol=1e-6)


def test_training_repeats_under_its_seed_and_moves_with_another(
    run_folder: Path, mini_data: LocalFolder, tmp_path: Path
) -> None:
    again = training_line.train_recipe(SMOKE, mini_data, tmp_path)
    other = training_line.train_recipe(replace(SMOKE, seed=7), mini_data, tmp_path)
    for name in ("adapter_model.safetensors", "predictions.csv"):
        first, second, third = [(folder / name).read_bytes() for folder in (run_folder, again, other)]
        assert first == second != third
    assert other.name == "smoke-seed7"


def test_a_recipe_of_one_source_trains_on_it_and_is_tested_on_all(mini_data: LocalFolder, tmp_path: Path) -> None:
    recipe = replace(QUICK, repeats={"fiqa": 1}, fiqa_labels="percentile", train_limit=0)
    folder = training_line.train_recipe(recipe, mini_data, tmp_path)
    metrics, rows = read(folder, "metrics.json"), read_rows(recipe, mini_data)
    assert {row.source for row in [*rows.train, *rows.validation]} == {"fiqa"}
    assert metrics["train_count"] == len(rows.train)
    assert set(metrics["validation"]["model"]) == {"fiqa", "overall"}
    assert set(metrics["test"]["model"]) >= set(SOURCES)
    assert metrics["thresholds"] == list(find_terciles(rows.examples, rows.splits))
    assert metrics["test_percentile"]["model"]["twitter"] == metrics["test"]["model"]["twitter"]
    assert [row.label for row in rows.test] == [rows.examples[i].label for i in rows.splits.test]


def test_a_base_with_labels_of_its_own_is_measured_before_training_by_their_names(
    mini_data: LocalFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = load_base(QUICK)
    with torch.no_grad():  # says positive to everything, in its own first column
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([5.0, 0.0, 0.0]))
    monkeypatch.setattr(measure, "load_labelled_base", lambda recipe: (model, tokenizer, (1, 2, 0)))
    metrics = read(training_line.train_recipe(QUICK, mini_data, tmp_path), "metrics.json")
    rows = read_rows(QUICK, mini_data)
    for split, examples in (("validation", rows.validation), ("test", rows.test)):
        share = float(np.mean([LABELS[example.label] == "positive" for example in examples]))
        assert metrics[split]["baselines"]["zero_shot"]["overall"]["accuracy"] == pytest.approx(share)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "full", "class_weights": "balanced", "schedule": "cosine"},
        {"score_head": "separate", "accumulate": 4, "schedule": "constant"},
        {"precision": "bf16", "early_stopping": 1, "repeats": {}, "mix": {"twitter": 0.5, "fiqa": 0.5}},
    ],
    ids=["full", "separate", "mix"],
)
def test_every_switch_gives_a_run_that_can_be_loaded(
    changes: dict[str, Any], mini_data: LocalFolder, tmp_path: Path
) -> None:
    recipe = replace(QUICK, **changes)
    folder = training_line.train_recipe(recipe, mini_data, tmp_path)
    table = read_predictions(folder / "predictions.csv")
    rows = read_rows(recipe, mini_data)
    expected = probabilities_of(table[table["split"] == "test"])
    np.testing.assert_allclose(load_scorer(folder)(rows.test), expected, atol=2e-6)
    assert (folder / "model.safetensors").is_file() == (recipe.method == "full")
    assert ("score_head" in read(folder, "metrics.json")) == (recipe.score_head == "separate")


def fit_rows(recipe: Recipe, rows: Sequence[Example], held: Sequence[Example]) -> tuple[Any, Any, fitting.Fit]:
    """Fit ``recipe`` on ``rows`` alone, without files."""
    accelerator = training_line.start_accelerator(recipe.precision)
    training_line.seed_everything(recipe.seed)
    model, tokenizer = build_model(recipe)
    table = tabulate_rows(rows, tokenizer, recipe.max_length)
    epochs = [list(range(len(rows)))] * recipe.epochs
    objective = choose_objective(recipe, [row.label for row in rows], accelerator.device)
    return model, tokenizer, fitting.fit_model(accelerator, model, recipe, table, held, epochs, objective)


WORDS = {0: "aaaa", 1: "mmmm", 2: "zzzz"}
EASY = [Example(WORDS[label], "", label, None, "phrasebank") for label in range(3) for _ in range(40)]


def test_a_fit_learns_words_that_decide_the_label() -> None:
    recipe = replace(SMOKE, epochs=8, learning_rate=2e-2)
    model, tokenizer, fit = fit_rows(recipe, EASY, EASY[::20])
    found = predict_probabilities(model, tokenizer, encode_examples(EASY, tokenizer, 16)).argmax(dim=1)
    assert found.tolist() == [row.label for row in EASY]
    assert fit.epochs[fit.best_epoch - 1]["macro_f1"] == 1


def test_early_stopping_ends_a_fit_that_no_longer_gets_better() -> None:
    recipe = replace(SMOKE, epochs=30, learning_rate=2e-2, early_stopping=2)
    _, _, fit = fit_rows(recipe, EASY, EASY[::20])
    values = [record["macro_f1"] for record in fit.epochs]
    assert 3 <= len(values) < 30
    assert max(values[-2:]) <= max(values[:-2])


@pytest.mark.parametrize("average", [False, True])
def test_the_best_epoch_not_the_last_is_left_in_the_model(monkeypatch: pytest.MonkeyPatch, average: bool) -> None:
    ends: list[dict[str, torch.Tensor]] = []
    values = [0.4, 0.9, 0.2]

    def record(number: int, *_: object) -> dict[str, float]:
        return {"epoch": number, "loss": 1.0, "seconds": 1.0, "accuracy": 0.5, "macro_f1": values[number - 1]}

    def copy(model: Any) -> dict[str, torch.Tensor]:
        ends.append(trainable_state(model))
        return ends[-1]

    monkeypatch.setattr(fitting, "record_epoch", record)
    monkeypatch.setattr(fitting, "trainable_state", copy)
    model, _, fit = fit_rows(replace(SMOKE, epochs=3, average_weights=average), EASY, EASY[::20])
    assert fit.best_epoch == 2
    first, second, _ = ends
    left = trainable_state(model)
    expected = {name: (first[name] + second[name]) / 2 for name in first} if average else second
    for name, weight in left.items():
        torch.testing.assert_close(weight, expected[name])
    assert any(not torch.equal(first[name], second[name]) for name in left)


def test_averaging_judges_the_mean_and_trains_on_from_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of ``ends`` must not be what the next epoch starts from."""
    ends: list[dict[str, torch.Tensor]] = []

    def copy(model: Any) -> dict[str, torch.Tensor]:
        ends.append(trainable_state(model))
        return ends[-1]

    monkeypatch.setattr(fitting, "trainable_state", copy)
    for average in (False, True):
        fit_rows(replace(SMOKE, epochs=3, average_weights=average), EASY, EASY[::20])
    for plain, averaged in zip(ends[:3], ends[3:], strict=True):
        assert all(torch.equal(plain[name], averaged[name]) for name in plain)


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=9))
def test_states_average_one_by_one_to_their_mean(values: list[float]) -> None:
    mean: dict[str, torch.Tensor] = {}
    for count, value in enumerate(values):
        mean = fitting.average_states(mean, {"weight": torch.tensor([value])}, count)
    assert mean["weight"].item() == pytest.approx(sum(values) / len(values), abs=1e-2)


STEP_ROWS = [0, 41, 82, 3, 44, 85, 6]


@dataclass
class Process:
    """One of several processes, as a step sees its accelerator; nothing is shared, and weights stay as they are."""

    process_index: int = 0
    num_processes: int = 1
    device: Any = torch.device("cpu")
    optimizer_step_was_skipped: bool = True

    def no_sync(self, model: Any) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def backward(self, loss: torch.Tensor) -> None:
        loss.backward()

    def clip_grad_norm_(self, weights: Any, norm: float) -> None:
        """Leave the gradients as they are."""

    def step(self) -> None:
        """Leave the weights as they are."""

    zero_grad = step


def find_gradient(recipe: Recipe, process: Process) -> tuple[float, list[torch.Tensor]]:
    """Return the loss and the gradients of one step on STEP_ROWS as ``process`` sees them."""
    fit = replace(make_fitting(recipe), accelerator=process, optimizer=process)
    loss = take_step(fit, STEP_ROWS)
    return loss.item(), [weight.grad.clone() for weight in fit.model.parameters() if weight.grad is not None]


@pytest.mark.parametrize(("class_weights", "score_head"), [("none", "separate"), ("balanced", "difference")])
def test_a_step_in_parts_or_processes_has_the_gradient_of_the_whole(class_weights: str, score_head: str) -> None:
    recipe = replace(SMOKE, class_weights=class_weights, score_head=score_head)
    loss, whole = find_gradient(recipe, Process())
    for accumulate, count in ((2, 1), (8, 1), (1, 2), (1, 8), (2, 3), (4, 2)):
        parts = [find_gradient(replace(recipe, accumulate=accumulate), Process(i, count)) for i in range(count)]
        assert sum(part for part, _ in parts) == pytest.approx(loss, rel=1e-5)
        for expected, *found in zip(whole, *(gradients for _, gradients in parts), strict=True):
            torch.testing.assert_close(sum(found) / count, expected, rtol=1e-4, atol=1e-6)


def make_fitting(recipe: Recipe) -> Fitting:
    """Return a fit at its first step on EASY, where every second row carries a score."""
    rows = [replace(row, score=(row.label - 1) / 2 if i % 2 else None) for i, row in enumerate(EASY)]
    accelerator = training_line.start_accelerator(recipe.precision)
    training_line.seed_everything(0)
    model, tokenizer = build_model(recipe)
    objective = choose_objective(recipe, [0, 1, 1, 2, 2, 2], accelerator.device)
    table = tabulate_rows(rows, tokenizer, 16)
    return prepare_fitting(accelerator, model, recipe, table, [list(range(len(rows)))], objective)


def test_a_loss_that_is_no_number_stops_the_fit() -> None:
    with pytest.raises(TrainingError, match="the loss is not a number in epoch 1; lower learning_rate"):
        fit_rows(replace(SMOKE, learning_rate=1e30, warmup_share=0.0), EASY, EASY[::20])


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", [0.5, 1, 1, 1, 1, 1]),
        ("linear", [0.5, 1, 1, 0.75, 0.5, 0.25]),
        ("cosine", [0.5, 1, 1, (2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4]),
    ],
)
def test_the_rate_rises_then_follows_its_schedule(schedule: str, rates: list[float]) -> None:
    assert [find_rate(schedule, step, 2, 6) for step in range(6)] == pytest.approx(rates)


@pytest.mark.parametrize(
    ("values", "patience", "best", "is_over"),
    [
        ([0.5], 1, 1, False),
        ([0.5, 0.4], 1, 1, True),
        ([0.5, 0.5], 1, 2, True),
        ([0.5, 0.4], 2, 1, False),
        ([0.5, 0.4, 0.5], 2, 3, True),
        ([0.5, 0.4, 0.6], 2, 3, False),
        ([0.5, 0.4, 0.3, 0.2], 0, 1, False),
    ],
)
def test_the_best_epoch_and_when_to_stop(values: list[float], patience: int, best: int, is_over: bool) -> None:
    records = [{"macro_f1": value} for value in values]
    assert find_best(records) == best
    assert is_stalled(records, patience) is is_over


@pytest.mark.parametrize(
    ("precision", "has_gpu", "has_bf16", "expected"),
    [
        ("auto", False, False, "no"),
        ("auto", True, False, "fp16"),
        ("auto", True, True, "bf16"),
        ("fp32", True, True, "no"),
        ("bf16", False, False, "bf16"),
        ("fp16", True, True, "fp16"),
    ],
)
def test_precision_follows_the_hardware_unless_asked(
    precision: str, has_gpu: bool, has_bf16: bool, expected: str
) -> None:
    assert training_line.choose_precision(precision, has_gpu, has_bf16) == expected


def test_fp16_without_a_gpu_is_refused() -> None:
    with pytest.raises(TrainingError, match="precision is 'fp16'; expected a GPU"):
        training_line.choose_precision("fp16", False, False)


def test_batches_hold_every_row_once_and_rows_of_alike_length() -> None:
    lengths = [(i * 37) % 90 + 5 for i in range(500)]
    batches = group_batches(lengths, 32, Random(3))
    assert sorted(i for batch in batches for i in batch) == list(range(500))
    padded = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
    assert padded < 1.15 * sum(lengths)
    assert batches == group_batches(lengths, 32, Random(3))


def test_an_empty_target_is_an_empty_second_segment() -> None:
    _, tokenizer = load_base(SMOKE)
    rows = encode_examples([Example("ab", "", 0, None, "x"), Example("ab", "c", 0, None, "x")], tokenizer, 16)
    found = [tokenizer.convert_ids_to_tokens(row["input_ids"]) for row in rows]
    assert found == [["[CLS]", "a", "##b", "[SEP]", "[SEP]"], ["[CLS]", "a", "##b", "[SEP]", "c", "[SEP]"]]


def test_a_student_learns_from_a_teacher_of_the_same_split(
    run_folder: Path, mini_data: LocalFolder, tmp_path: Path
) -> None:
    alone = training_line.train_recipe(QUICK, mini_data, tmp_path / "alone")
    taught = replace(QUICK, teachers=[str(run_folder)], teacher_weight=0.9, teacher_temperature=2.0)
    student = training_line.train_recipe(taught, mini_data, tmp_path / "taught")
    assert (alone / "predictions.csv").read_bytes() != (student / "predictions.csv").read_bytes()
    digest = hashlib.sha256((run_folder / "provenance.json").read_bytes()).hexdigest()
    base = read(run_folder, "provenance.json")["base"]
    facts = {"sha256": digest, "base": base, "licence": "cc-by-nc-sa-3.0", "contamination": []}
    assert read(student, "provenance.json")["teachers"] == [facts]
    assert read(alone, "provenance.json")["teachers"] == []


@pytest.mark.parametrize("is_recorded", [True, False])
def test_what_a_teachers_base_has_seen_is_said_of_the_student_and_of_its_own_students(
    is_recorded: bool, run_folder: Path, mini_data: LocalFolder, tmp_path: Path
) -> None:
    teacher, rows = shutil.copytree(run_folder, tmp_path / "teacher"), read_rows(QUICK, mini_data)
    facts = read(teacher, "provenance.json")
    facts["base"]["id"] = "ProsusAI/finbert"
    known = find_contamination("ProsusAI/finbert", rows.examples, rows.splits)
    assert known[0]["source"] == "phrasebank"
    write_provenance(teacher, facts | {"contamination": known if is_recorded else None})
    taught = replace(QUICK, teachers=[str(teacher)], teacher_weight=0.5)
    (tmp_path / "student").mkdir()
    found = describe_run(taught, mini_data, rows, torch.device("cpu"), 1)
    assert found["contamination"] == found["teachers"][0]["contamination"] == known
    write_provenance(tmp_path / "student", found)
    again = replace(QUICK, teachers=[str(tmp_path / "student")], teacher_weight=0.5)
    assert describe_run(again, mini_data, rows, torch.device("cpu"), 1)["contamination"] == known


def test_a_teacher_that_changed_since_it_was_sealed_is_refused(
    run_folder: Path, mini_data: LocalFolder, tmp_path: Path
) -> None:
    teacher = shutil.copytree(run_folder, tmp_path / "teacher")
    weights = teacher / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + bytes(4))
    with pytest.raises(ModelError, match="teacher: adapter_model.safetensors has SHA-256"):
        describe_teacher("teacher", teacher, read_rows(QUICK, mini_data))


@pytest.mark.parametrize(
    ("provenance", "message"),
    [
        ({}, "its test rows are not recorded; expected aaaaaaaaaaaa"),
        ({"splits": "x"}, "its test rows are not recorded"),
        ({"splits": {"train": "a" * 64}}, "its test rows are not recorded"),
        ({"splits": {"test": "b" * 64}}, r"its test rows are bbbbbbbbbbbb\.\.\.; expected aaaaaaaaaaaa"),
        ({"splits": {"test": "a" * 64}}, "its validation rows are not recorded; expected cccccccccccc"),
        ({"splits": {"test": "a" * 64, "validation": "b" * 64}}, "its validation rows are bbbbbbbbbbbb"),
    ],
)
def test_a_teacher_that_may_know_the_held_out_rows_is_refused(provenance: dict[str, Any], message: str) -> None:
    ours = {"test": "a" * 64, "validation": "c" * 64}
    with pytest.raises(ModelError, match=message):
        check_splits("teacher", provenance, ours)
    check_splits("teacher", {"splits": ours}, ours)


def test_a_teacher_without_provenance_is_refused(mini_data: LocalFolder, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="provenance.json is missing"):
        describe_teacher("teacher x", tmp_path, read_rows(QUICK, mini_data))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "out of memory at batch_size 32: free some"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory at batch_size 32"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory at batch_size 32"),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk failed: .*No space left on device"),
        (OSError(errno.EIO, "Input/output error"), "the disk failed: .*Input/output error"),
        (Exception("No space left on device (os error 28)"), "the disk failed: No space left"),
        (PermissionError(errno.EACCES, "Permission denied"), "the disk failed: .*Permission denied"),
        (Exception("some other fault (os error 280)"), None),
        (FileNotFoundError(errno.ENOENT, "No such file"), None),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
        (PipelineError("another line"), None),
    ],
)
def test_faults_of_memory_and_disk_are_told_from_others(error: Exception, message: str | None) -> None:
    found = explain_fault(error, SMOKE)
    assert (found is None) == (message is None)
    if message:
        assert re.search(message, found)


def test_an_existing_run_folder_is_never_overwritten(run_folder: Path, mini_data: LocalFolder) -> None:
    with pytest.raises(TrainingError, match="smoke-seed42 exists; remove it or choose another --output"):
        training_line.train_recipe(SMOKE, mini_data, run_folder.parent)


def test_an_output_that_cannot_be_made_is_named(mini_data: LocalFolder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="--output .*file cannot be made: File exists"):
        training_line.train_recipe(SMOKE, mini_data, tmp_path / "file")


def test_objectives_of_a_plain_recipe_weigh_no_class() -> None:
    assert choose_objective(replace(SMOKE, score_weight=0.0), [0], torch.device("cpu")) == Objective()
