"""A run that was killed, interrupted or ran out of disk goes on to the very numbers of one that was not."""

from __future__ import annotations

import errno
import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("accelerate", reason="training needs accelerate")

from pipeline.errors import PipelineError  # noqa: E402
from pipeline.model_folder import PROVENANCE, read_json, write_provenance  # noqa: E402
from training import fit as fitting  # noqa: E402
from training import run_folder, unfinished  # noqa: E402
from training import train as training_line  # noqa: E402
from training.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from training.readers import LocalFolder  # noqa: E402
from training.recipe import Recipe, format_recipe, load_recipe  # noqa: E402
from training.steps import TrainingError  # noqa: E402
from training.train import train_recipe  # noqa: E402
from training.unfinished import TrainingInterruptedError  # noqa: E402

PROJECT = Path(__file__).parents[2]
SMOKE = load_recipe(PROJECT / "training" / "recipes" / "smoke.toml")
RECIPE = replace(
    SMOKE,
    name="stopped",
    encoder_dropout=0.2,
    lora_dropout=0.1,
    epochs=3,
    repeats={},
    mix={"twitter": 0.5, "fiqa": 0.2, "sentfin": 0.3},
    epoch_rows=320,
    train_limit=0,
    schedule="cosine",
    average_weights=True,
)
"""Dropout, so that the random state matters; ten steps an epoch, saved after every fourth and at the epoch's end."""
EVERY = 4
FOLDER, HALF = "stopped-seed42", "stopped-seed42.unfinished"
KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from training import fit
from training.readers import LocalFolder
from training.recipe import load_recipe
from training.train import train_recipe

recipe, root, output, count = load_recipe(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
save, saved = fit.save_checkpoint, []

def save_and_die(path, state):
    save(path, state)
    saved.append(path)
    if len(saved) == count:
        os.kill(os.getpid(), signal.SIGKILL)

fit.save_checkpoint, fit.CHECKPOINT_STEPS = save_and_die, int(sys.argv[5])
train_recipe(recipe, LocalFolder(root), output)
"""


@pytest.fixture(autouse=True)
def save_often(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(fitting, "CHECKPOINT_STEPS", EVERY)


@pytest.fixture(scope="module")
def whole(mini_data: LocalFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing stopped."""
    torch.set_num_threads(1)
    return train_recipe(RECIPE, mini_data, tmp_path_factory.mktemp("whole"))


def assert_same(found: Path, whole: Path) -> None:
    """Compare two run folders: weights and predictions byte for byte, metrics but for their cost."""
    for name in ("adapter_model.safetensors", "predictions.csv", "recipe.toml", "config.json"):
        assert (found / name).read_bytes() == (whole / name).read_bytes(), name
    assert read_metrics(found) == read_metrics(whole)
    assert {path.name for path in found.iterdir()} == {path.name for path in whole.iterdir()}
    assert not (found.parent / HALF).exists()


def read_metrics(folder: Path) -> dict[str, Any]:
    metrics = json.loads((folder / "metrics.json").read_text())
    for key in ("wall_s", "peak_rss_mib", "peak_gpu_mib"):
        del metrics[key]
    for record in metrics["epochs"]:
        del record["seconds"]
    return metrics


def stop_after(monkeypatch: pytest.MonkeyPatch, count: int, error: BaseException) -> None:
    """Raise ``error`` once, after the checkpoint with that number."""
    saved: list[Path] = []

    def save_and_stop(path: Path, state: dict[str, Any]) -> None:
        save_checkpoint(path, state)
        saved.append(path)
        if len(saved) == count:
            raise error

    monkeypatch.setattr(fitting, "save_checkpoint", save_and_stop)


def test_a_killed_process_is_gone_on_from_bit_for_bit(
    whole: Path, mini_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.toml").write_text(format_recipe(RECIPE))
    arguments = [tmp_path / "recipe.toml", mini_root, tmp_path / "runs", 5, EVERY]
    command = [sys.executable, "-c", KILLED, *map(str, arguments)]
    killed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    half = tmp_path / "runs" / HALF
    assert {path.name for path in half.iterdir()} == {"recipe.toml", "checkpoint.pt"}
    assert not (tmp_path / "runs" / FOLDER).exists()
    capsys.readouterr()
    folder = train_recipe(RECIPE, LocalFolder(mini_root), tmp_path / "runs")
    assert f"going on from {half}: 1 epochs and 8 steps done" in capsys.readouterr().out
    assert_same(folder, whole)


@pytest.mark.parametrize("count", [1, 3, 4, 9], ids=["in epoch 1", "after epoch 1", "in epoch 2", "after the last"])
def test_ctrl_c_ends_in_one_line_and_the_same_command_goes_on(
    count: int, whole: Path, mini_data: LocalFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(monkeypatch, count, KeyboardInterrupt())
    with pytest.raises(TrainingInterruptedError, match=f"interrupted; .*goes on from .*{HALF}$") as caught:
        train_recipe(RECIPE, mini_data, tmp_path)
    assert "\n" not in str(caught.value)
    assert_same(train_recipe(RECIPE, mini_data, tmp_path), whole)


def test_a_run_may_be_stopped_more_than_once_and_its_time_adds_up(
    whole: Path, mini_data: LocalFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walls = []
    for _ in range(3):
        stop_after(monkeypatch, 2, KeyboardInterrupt())
        with pytest.raises(TrainingInterruptedError):
            train_recipe(RECIPE, mini_data, tmp_path)
        walls.append(load_checkpoint(tmp_path / HALF / "checkpoint.pt")["wall_s"])
    assert 0 < walls[0] < walls[1] < walls[2]
    folder = train_recipe(RECIPE, mini_data, tmp_path)
    assert json.loads((folder / "metrics.json").read_text())["wall_s"] >= round(walls[2], 1)
    assert_same(folder, whole)


def test_a_run_with_every_switch_goes_on_too(
    whole: Path, mini_data: LocalFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(
        RECIPE,
        method="full",
        precision="bf16",
        score_head="separate",
        class_weights="balanced",
        teachers=[str(whole)],
        teacher_weight=0.5,
        teacher_temperature=2.0,
        state_weight=1.0,
        accumulate=2,
        learning_rate=1e-3,
    )
    straight = train_recipe(recipe, mini_data, tmp_path / "straight")
    stop_after(monkeypatch, 5, KeyboardInterrupt())
    with pytest.raises(TrainingInterruptedError):
        train_recipe(recipe, mini_data, tmp_path)
    # What the teachers said was kept: they may not be asked again.
    monkeypatch.setattr(training_line, "ask_states", None)
    folder = train_recipe(recipe, mini_data, tmp_path)
    for name in ("model.safetensors", "predictions.csv"):
        assert (folder / name).read_bytes() == (straight / name).read_bytes()


def test_what_the_teachers_said_is_gone_on_from_and_is_one_recipes_own(
    whole: Path, mini_data: LocalFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    recipe = replace(RECIPE, teachers=[str(whole)], teacher_weight=0.5)

    def save_and_stop(path: Path, state: dict[str, Any]) -> None:
        save_checkpoint(path, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(training_line, "save_checkpoint", save_and_stop)
    with pytest.raises(TrainingInterruptedError):
        train_recipe(recipe, mini_data, tmp_path)
    assert {path.name for path in (tmp_path / HALF).iterdir()} == {"recipe.toml", "teachers.pt"}
    with pytest.raises(TrainingError, match=r"recipe key epochs was 3, now 4; train with --restart"):
        train_recipe(replace(recipe, epochs=4), mini_data, tmp_path)
    monkeypatch.setattr(training_line, "ask_teachers", None)
    capsys.readouterr()
    train_recipe(recipe, mini_data, tmp_path)
    assert f"going on from {tmp_path / HALF}: the teachers have answered" in capsys.readouterr().out


def test_too_little_memory_ends_in_one_line(
    whole: Path, mini_data: LocalFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(monkeypatch, 2, RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried\nto have 1 TB"))
    with pytest.raises(TrainingError, match=f"out of memory at batch_size 32.*goes on from .*{HALF}$") as caught:
        train_recipe(RECIPE, mini_data, tmp_path)
    assert "\n" not in str(caught.value)
    assert_same(train_recipe(RECIPE, mini_data, tmp_path), whole)


def test_a_disk_that_fills_up_while_saving_ends_in_one_line(
    whole: Path, mini_data: LocalFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(monkeypatch, 2, KeyboardInterrupt())
    with pytest.raises(TrainingInterruptedError):
        train_recipe(RECIPE, mini_data, tmp_path)
    (tmp_path / HALF / "checkpoint.pt.tmp").symlink_to("/dev/full")
    with pytest.raises(TrainingError, match=f"the disk failed: .*No space left on device.*goes on from .*{HALF}$"):
        train_recipe(RECIPE, mini_data, tmp_path)
    assert_same(train_recipe(RECIPE, mini_data, tmp_path), whole)


def test_a_disk_that_fills_up_while_publishing_loses_nothing(
    whole: Path, mini_data: LocalFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(run_folder, "write_predictions", fail)
        with pytest.raises(TrainingError, match=f"the disk failed: .*goes on from .*{HALF}$"):
            train_recipe(RECIPE, mini_data, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [HALF]
    assert_same(train_recipe(RECIPE, mini_data, tmp_path), whole)


@pytest.fixture
def half_done(mini_data: LocalFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The output folder of a run that was stopped in its second epoch."""
    with monkeypatch.context() as patched:
        stop_after(patched, 4, KeyboardInterrupt())
        with pytest.raises(TrainingInterruptedError):
            train_recipe(RECIPE, mini_data, tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (replace(RECIPE, learning_rate=1e-3), "recipe key learning_rate was 0.005, now 0.001"),
        (replace(RECIPE, epochs=4), "recipe key epochs was 3, now 4"),
    ],
)
def test_another_recipe_of_the_same_name_is_refused(
    recipe: Recipe, message: str, half_done: Path, mini_data: LocalFolder
) -> None:
    with pytest.raises(TrainingError, match=f"{HALF}: {message}; train with --restart to begin anew"):
        train_recipe(recipe, mini_data, half_done)


def test_a_restart_discards_what_was_done(whole: Path, half_done: Path, mini_data: LocalFolder) -> None:
    changed = replace(RECIPE, epochs=1)
    folder = train_recipe(changed, mini_data, half_done, restart=True)
    assert len(read_metrics(folder)["epochs"]) == 1
    assert [path.name for path in half_done.iterdir()] == [FOLDER]


def test_another_machine_or_library_is_refused(half_done: Path, mini_data: LocalFolder) -> None:
    path = half_done / HALF / "checkpoint.pt"
    state = load_checkpoint(path)
    for change, message in (
        ({"processes": 4}, "processes was 4, now 1"),
        ({"device": "cuda"}, "device was 'cuda', now 'cpu'"),
        ({"library torch": "1.0"}, "library torch was '1.0', now '2"),
        ({"torch_threads": 8}, "torch_threads was 8, now 1"),
    ):
        save_checkpoint(path, state | {"facts": state["facts"] | change})
        with pytest.raises(TrainingError, match=message):
            train_recipe(RECIPE, mini_data, half_done)


@pytest.mark.parametrize(
    ("file", "before", "after", "message"),
    [
        ("sentfin/SEntFiN.csv", "'Acme': 'negative'", "'Acme': 'positive'", "data: sentfin was '"),
        ("fiqa_2018_task1/fiqa_task1_flat.csv", ",0.7,", ",0.8,", "data: fiqa was '"),
        ("twitter_financial_news/sent_train.csv", "harbour", "haven", "data: twitter was '"),
    ],
    ids=["a label", "a score", "a word"],
)
def test_changed_data_is_refused(
    file: str, before: str, after: str, message: str, half_done: Path, mini_root: Path, tmp_path: Path
) -> None:
    shutil.copytree(mini_root, tmp_path / "data")
    path = tmp_path / "data" / "labelled" / file
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after, 1))
    with pytest.raises(TrainingError, match=f"{HALF}: {message}.*train with --restart"):
        train_recipe(RECIPE, LocalFolder(tmp_path / "data"), half_done)


def test_another_teacher_under_the_same_name_is_refused(
    whole: Path, mini_data: LocalFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = shutil.copytree(whole, tmp_path / "teacher")
    recipe = replace(RECIPE, teachers=[str(teacher)], teacher_weight=0.5)
    stop_after(monkeypatch, 2, KeyboardInterrupt())
    with pytest.raises(TrainingInterruptedError):
        train_recipe(recipe, mini_data, tmp_path)
    write_provenance(teacher, read_json(teacher / PROVENANCE) | {"seed": 43})
    with pytest.raises(TrainingError, match=f"{HALF}: teacher 1 was '.*', now '"):
        train_recipe(recipe, mini_data, tmp_path)


@pytest.mark.parametrize("state", [{}, {"splits": {}, "processes": 1, "device": "cpu"}])
def test_the_checkpoint_of_an_older_version_is_refused_in_one_line(
    state: dict[str, Any], half_done: Path, mini_data: LocalFolder
) -> None:
    save_checkpoint(half_done / HALF / "checkpoint.pt", state)
    with pytest.raises(TrainingError, match=f"{HALF}: an older version wrote its checkpoint; train with --restart"):
        train_recipe(RECIPE, mini_data, half_done)


def test_a_run_that_another_process_is_making_is_left_alone(
    whole: Path, half_done: Path, mini_data: LocalFolder
) -> None:
    code = (
        "import sys, pathlib; from training.unfinished import hold_folder\n"
        "with hold_folder(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    before = {path.name: path.read_bytes() for path in (half_done / HALF).iterdir()}
    command = [sys.executable, "-c", code, str(half_done / HALF)]
    with subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        for restart in (False, True):
            with pytest.raises(TrainingError, match=f"{HALF}: another process is training this run"):
                train_recipe(RECIPE, mini_data, half_done, restart)
        assert {path.name: path.read_bytes() for path in (half_done / HALF).iterdir()} == before
    assert_same(train_recipe(RECIPE, mini_data, half_done), whole)


def test_an_unfinished_folder_that_is_a_file_is_named(mini_data: LocalFolder, tmp_path: Path) -> None:
    (tmp_path / HALF).write_text("")
    with pytest.raises(TrainingError, match=f"{HALF} cannot be made: File exists"):
        train_recipe(RECIPE, mini_data, tmp_path)


def test_a_torn_checkpoint_is_refused_in_one_line(half_done: Path, mini_data: LocalFolder) -> None:
    path = half_done / HALF / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(PipelineError, match="checkpoint.pt: torn or no checkpoint; train with --restart") as caught:
        train_recipe(RECIPE, mini_data, half_done)
    assert "\n" not in str(caught.value)


def test_the_unfinished_folder_says_which_run_it_is(half_done: Path) -> None:
    assert load_recipe(half_done / HALF / unfinished.RECIPE) == RECIPE
