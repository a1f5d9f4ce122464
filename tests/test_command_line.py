"""The command line: every verb explains itself, and a user's error is one line and a non-zero exit."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from pipeline import __main__ as pipeline_line
from pipeline.config import HOME

from .sample import REPLAY, SETTINGS_PATH, read_settings


def verbs(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return next(action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))


@pytest.mark.parametrize("name", sorted(verbs(pipeline_line._parser())))
def test_every_verb_has_help_with_an_example_that_parses(name: str) -> None:
    parser = pipeline_line._parser()
    verb = verbs(parser)[name]
    assert verb.description
    assert verb.epilog
    example = verb.epilog.removeprefix("example: python -m pipeline ").split()
    assert parser.parse_args(example).verb == name


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["daily", "--now", "2026-11-20T21:35:00Z"], "--now needs --replay"),
        (["daily", "--replay", ".", "--now", "yesterday"], "--now yesterday: expected a time"),
        (["daily", "--replay", ".", "--now", "2026-11-20T21:35:00"], "expected a time zone"),
        (["daily", "--settings", "absent.toml"], "absent.toml: cannot be read"),
        (["daily", "--model", "absent", *REPLAY], "absent"),
        (["daily", "--settings", str(SETTINGS_PATH), "--replay", "absent"], "absent"),
        (["daily", *REPLAY[:-1], "0001-01-01T00:00:00+10:00"], "expected a time"),
        (["report", "--session", "2026-13-45"], "2026-13-45"),
        (["report", "--session", "2026-11-21"], "2026-11-21"),
        (["report", "--session", "2026-11-20"], "session 2026-11-20 is not sealed"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    argv: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert pipeline_line.main([*argv, "--store", str(tmp_path / "store")]) != 0
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "store").exists()


def test_an_unknown_ticker_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ["--store", str(tmp_path / "store")]
    assert pipeline_line.main(["daily", *REPLAY, *store, "--report", str(tmp_path / "report")]) == 0
    assert pipeline_line.main(["report", "--session", "2026-11-20", "--tickers", "AAPL,NOPE", *store]) == 1
    assert "--tickers NOPE: not in the universe" in capsys.readouterr().err


@pytest.mark.parametrize("tickers", ["", ",", " , "])
def test_an_empty_choice_of_tickers_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tickers: str
) -> None:
    store = ["--store", str(tmp_path / "store")]
    assert pipeline_line.main(["daily", *REPLAY, *store, "--report", str(tmp_path / "report")]) == 0
    assert pipeline_line.main(["report", "--session", "2026-11-20", "--tickers", tickers, *store]) == 1
    assert "expected tickers separated by commas" in capsys.readouterr().err


def test_a_report_folder_that_is_a_file_stops_the_day_before_it_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report").write_text("mine")
    store = tmp_path / "store"
    assert pipeline_line.main(["daily", *REPLAY, "--store", str(store), "--report", str(tmp_path / "report")]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path / 'report'}: File exists\n"
    assert not store.exists()


@pytest.mark.parametrize("name", ["manifest.csv", "state/feeds.csv"])
def test_a_folder_in_a_file_s_place_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (tmp_path / name).mkdir(parents=True)
    assert pipeline_line.main(["status", "--store", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path / name}: Is a directory\n"


def test_a_pinned_adapter_that_was_not_exported_stops_the_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = read_settings()
    pinned = text.replace('repository = ""', 'repository = "owner/name"')
    pinned = pinned.replace('revision = ""', f'revision = "{"a" * 40}"').replace(
        'sha256 = ""', f'sha256 = "{"5" * 64}"'
    )
    for content, code in ((text, 0), (pinned, 1)):
        settings = tmp_path / "settings.toml"
        settings.write_text(content)
        options = [
            "--settings",
            str(settings),
            "--store",
            str(tmp_path / "store"),
            "--report",
            str(tmp_path / "report"),
        ]
        assert pipeline_line.main(["daily", *REPLAY, *options, "--dry-run"]) == code
    error = capsys.readouterr().err
    assert f"[adapter] pins {'a' * 40}, but its model is not in {HOME.parent / 'models' / ('a' * 40)}" in error
    assert error.count("\n") == 1
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [(check["name"], check["is_passed"]) for check in report["checks"]] == [("the model can be used", False)]
    assert report["failure"] in error
