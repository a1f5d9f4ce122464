"""Two processes under `accelerate launch` train as one does, on the same batches, and speak once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("accelerate", reason="training needs accelerate")

from training.predictions import probabilities_of, read_predictions  # noqa: E402
from training.readers import LocalFolder  # noqa: E402
from training.recipe import load_recipe, reseed_recipe  # noqa: E402
from training.train import train_recipe  # noqa: E402

PROJECT = Path(__file__).parents[2]
SMOKE = PROJECT / "training" / "recipes" / "smoke.toml"
# `--cpu` would start a single process where there is no MPI; `--multi_gpu` starts as many as asked, on CPUs too.
LAUNCH = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0")


def launch(recipe: Path, root: Path, output: Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m training train` in two processes, without a GPU even where there is one."""
    settings = {"FINANCIAL_SENTIMENT_DATA": str(root), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    verb = ("-m", "training", "train", str(recipe), "--output", str(output))
    command = [sys.executable, *LAUNCH, *verb]
    return subprocess.run(command, cwd=PROJECT, env=os.environ | settings, capture_output=True, text=True)


@pytest.fixture(scope="module")
def launched(mini_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The run folder of two processes, and what they printed."""
    output = tmp_path_factory.mktemp("launched")
    done = launch(SMOKE, mini_root, output)
    assert done.returncode == 0, done.stderr
    return output / "smoke-seed42", done.stdout


def test_two_processes_speak_and_write_once(launched: tuple[Path, str]) -> None:
    folder, printed = launched
    assert [path.name for path in folder.parent.iterdir()] == ["smoke-seed42"]
    assert [printed.count(f"epoch {number}/2  loss") for number in (1, 2)] == [1, 1]
    assert printed.count("run folder:") == 1
    assert json.loads((folder / "provenance.json").read_text())["processes"] == 2
    assert len(json.loads((folder / "metrics.json").read_text())["epochs"]) == 2


def test_two_processes_find_nearly_what_one_finds(
    launched: tuple[Path, str], mini_data: LocalFolder, tmp_path: Path
) -> None:
    recipe = load_recipe(SMOKE)
    alone, together = train_recipe(recipe, mini_data, tmp_path), launched[0]
    ours, theirs = (json.loads((folder / "metrics.json").read_text()) for folder in (alone, together))
    for one, two in zip(ours["epochs"], theirs["epochs"], strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-4)
    tables = [probabilities_of(read_predictions(folder / "predictions.csv")) for folder in (alone, together)]
    np.testing.assert_allclose(tables[1], tables[0], atol=1e-3)
    other = train_recipe(reseed_recipe(recipe, 7), mini_data, tmp_path)
    apart = probabilities_of(read_predictions(other / "predictions.csv"))
    assert np.abs(apart - tables[0]).max() > 10 * np.abs(tables[1] - tables[0]).max()
