"""An exported model is a base to train on from: the same answers, the folder or commit that was named, or a refusal."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from pipeline.config import HOME  # noqa: E402
from pipeline.errors import ModelError  # noqa: E402
from pipeline.export import export_model  # noqa: E402
from pipeline.model_folder import hash_file, read_json, write_provenance  # noqa: E402
from pipeline.score import OnnxScorer  # noqa: E402
from training import bases  # noqa: E402
from training.bases import Base, load_classifier, open_base, read_config  # noqa: E402
from training.model import build_model, load_run  # noqa: E402
from training.readers import LocalFolder  # noqa: E402
from training.recipe import load_recipe  # noqa: E402
from training.train import train_recipe  # noqa: E402

SHIPPED = HOME / "default_model"
RECIPES = Path(__file__).parents[2] / "training" / "recipes"
SMOKE = replace(load_recipe(RECIPES / "smoke.toml"), train_limit=64, epochs=1, method="full")
PAIRS = [
    ("Northwind shares jump after profit beats estimates", "Northwind"),
    ("Northwind cuts its dividend as losses widen", "Northwind"),
    ("Northwind to hold its annual meeting in May", ""),
    ("Northwind sues Contoso over patents", "Contoso"),
    ("Operating profit rose to EUR 12.3 mn from EUR 9.8 mn", ""),
    ("Contoso rallies, Northwind slips on weak guidance", "Northwind"),
]


@pytest.fixture(autouse=True)
def work_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def exported(mini_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run's model, exported; random weights that have learned a little."""
    place = tmp_path_factory.mktemp("exported")
    run = train_recipe(SMOKE, LocalFolder(mini_root), place / "runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.export.check_parity", lambda *_: None)  # random weights: labels may tie
        export_model(run, None, place / "model", HOME / "parity_set.csv")
    return place / "model"


def test_unpacked_the_shipped_model_answers_as_it_does_in_eight_bits() -> None:
    base = Base(f"model:{SHIPPED}", "", "", "bert")
    with open_base(base) as folder:
        model, missing = load_classifier(folder, read_config(folder, base), base.id)
        tokenizer = bases.load_tokenizer(folder, base)
    assert not missing
    headlines, companies = map(list, zip(*PAIRS, strict=True))
    with torch.inference_mode():
        logits = model.eval()(**tokenizer(headlines, companies, padding=True, return_tensors="pt")).logits
    changes = np.abs(logits.softmax(dim=1).numpy() - OnnxScorer(SHIPPED).score(PAIRS))
    assert changes.mean() < 0.01
    assert changes.max() < 0.05


def test_training_goes_on_from_it_with_a_head_of_its_own(mini_root: Path, exported: Path) -> None:
    recipe = replace(SMOKE, name="further", base=f"model:{exported}")
    torch.manual_seed(1)
    model, _ = build_model(recipe)
    run, _, _ = load_run(exported.parent / "runs" / "smoke-seed42")
    for name, weight in run.state_dict().items():
        is_close = torch.allclose(model.state_dict()[name], weight, atol=0.02)
        assert is_close or name.startswith("classifier.") or name.endswith(".bias")
    assert not torch.allclose(model.state_dict()["classifier.weight"], run.state_dict()["classifier.weight"], atol=0.02)
    folder = train_recipe(recipe, LocalFolder(mini_root), Path("runs"))
    found, before = (read_json(one / "provenance.json") for one in (folder, exported))
    assert found["start"]["sha256"] == hash_file(exported / "provenance.json")
    assert found["base"] == found["start"]["base"] == before["base"]
    assert found["start"]["licence"] == "cc-by-nc-sa-3.0"
    assert "zero_shot" not in read_json(folder / "metrics.json")["test"]["baselines"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: shutil.rmtree(folder), "no such folder; expected a model folder"),
        (lambda folder: (folder / "onnx/model_quantized.onnx").write_bytes(b"x"), "model_quantized.onnx"),
        (
            lambda folder: write_provenance(folder, read_json(folder / "provenance.json") | {"splits": None}),
            "its test rows are not recorded",
        ),
    ],
)
def test_a_folder_that_is_none_or_changed_or_split_otherwise_is_refused(
    mini_root: Path, exported: Path, tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    shutil.copytree(exported, tmp_path / "model")
    change(tmp_path / "model")
    with pytest.raises(ModelError, match=message):
        train_recipe(replace(SMOKE, base="model:model"), LocalFolder(mini_root), Path("runs"))


def git(folder: Path, *args: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@b.example")
    done = subprocess.run(["git", "-C", str(folder), *who, *args], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def commits(tmp_path: Path, exported: Path) -> list[str]:
    """Commits of the repository ``tmp_path``/origin, in which the model came and went."""
    origin = tmp_path / "origin"
    shutil.copytree(exported, origin / "models" / "one")
    git(tmp_path, "init", "--quiet", "origin")
    for _ in range(2):
        git(origin, "add", ".")
        git(origin, "commit", "--quiet", "--message", "change")
        if (origin / "models").exists():
            shutil.rmtree(origin / "models")
            (origin / "empty").touch()
    return git(origin, "log", "--reverse", "--format=%H").split()


@pytest.mark.parametrize("depth", [1, 2])
def test_a_commit_is_read_from_the_history_fetched_where_a_clone_is_shallow(
    tmp_path: Path, exported: Path, commits: list[str], monkeypatch: pytest.MonkeyPatch, depth: int
) -> None:
    git(tmp_path, "clone", "--quiet", f"--depth={depth}", (tmp_path / "origin").as_uri(), "clone")
    monkeypatch.setattr(bases, "HOME", tmp_path / "clone")
    with open_base(Base("model:models/one", commits[0], "", "bert")) as folder:
        assert hash_file(folder / "provenance.json") == hash_file(exported / "provenance.json")
        place = folder
    assert not place.exists()
    for commit in (commits[1], "a" * 40):
        with (
            pytest.raises(ModelError, match=f"model:models/one at {commit}: git .*; expected a commit of this"),
            open_base(Base("model:models/one", commit, "", "bert")),
        ):
            pass


def test_a_teacher_may_be_the_model_of_a_commit(
    mini_root: Path, tmp_path: Path, exported: Path, commits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bases, "HOME", tmp_path / "origin")
    shutil.copytree(exported, tmp_path / "beside")
    student = replace(SMOKE, teacher_weight=0.9)
    runs = [
        train_recipe(replace(student, name=name, teachers=[teacher]), LocalFolder(mini_root), Path("runs"))
        for name, teacher in (("one", f"model:models/one@{commits[0]}"), ("two", "beside"))
    ]
    first, second = (read_json(run / "provenance.json") for run in runs)
    assert first["teachers"] == second["teachers"]
    assert first["teachers"][0]["sha256"] == hash_file(exported / "provenance.json")
    assert first["files"]["model.safetensors"] == second["files"]["model.safetensors"]
    gone = replace(student, name="three", teachers=[f"model:models/one@{commits[1]}"])
    with pytest.raises(ModelError, match=f"model:models/one at {commits[1]}: git .*; expected a commit of this"):
        train_recipe(gone, LocalFolder(mini_root), Path("runs"))
