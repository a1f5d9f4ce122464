"""The study from the files of a made-up store to its report, VADER's way through the store's formulas, the command."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from feature_store import load_features
from training import study, study_incremental, study_panel
from training.__main__ import build_parser, main
from training.study_vader import add_vader, find_deviation, read_evidence, score_stories, score_titles, trail
from training.study_walk import LEARNERS

from .made_market import make_market
from .made_study_store import WORDS, make_study_store


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("study")
    return make_study_store(folder / "store", folder / "prices.csv"), folder / "prices.csv"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_incremental, "DRAWS", 200)
    monkeypatch.setattr(study_incremental, "HORIZONS", {"open-close": 0, "1": 1})
    monkeypatch.setattr(study_incremental, "MODEL_PLACEBO_SEEDS", 1)
    monkeypatch.setattr(study, "PLACEBO_SEEDS", 2)
    monkeypatch.setattr(study_panel, "MINIMUM_DAYS", 40)


def test_the_stores_own_score_comes_back_by_the_steps_that_vader_goes(made: tuple[Path, Path]) -> None:
    features = add_vader(load_features(root=made[0], revision="first"), made[0])
    news = features[features["status"] == "news"]
    assert (news["novel_share"] < 1).mean() > 0.2  # stories of yesterday are among them
    np.testing.assert_allclose(news["remade_score"], news["sentiment_score"], atol=2e-6)
    assert find_deviation(features) == 0
    assert features["vader"].notna().equals(features["sentiment_score"].notna())
    for window in (5, 21):
        own = trail(features, "sentiment_score", window)
        np.testing.assert_allclose(own, features[f"sentiment_score_{window}"], atol=2e-6)


def test_a_restated_session_counts_as_it_was_sealed_first(made: tuple[Path, Path]) -> None:
    session = pd.Timestamp("2020-01-21")
    first, latest = (
        frame[frame["session_date"] == session].reset_index(drop=True)
        for frame in (study.read_features(made[0]), load_features(root=made[0], revision="latest"))
    )
    np.testing.assert_allclose(latest["sentiment_score"], -first["sentiment_score"], atol=2e-6)
    assert (first["available_at"] < pd.Timestamp("2020-01-23", tz="UTC")).all()
    assert find_deviation(add_vader(study.read_features(made[0]), made[0])) == 0  # the headlines are the first, too


def test_a_story_of_yesterday_weighs_less() -> None:
    days = pd.to_datetime(["2020-01-02", "2020-01-03", "2020-01-03", "2020-01-03"])
    evidence = pd.DataFrame(
        {"session_date": days, "ticker": "A", "story_id": ["s", "s", "t", "t"], "title": ["a", "b", "c", "d"],
         "relevance": [1.0, 1.0, 0.5, 0.2], "vader": [0.8, 0.4, -0.2, -0.4], "sentiment_score": 0.0}
    )  # fmt: skip
    found = score_stories(evidence)["vader"].tolist()
    assert found == pytest.approx([0.8, (0.25 * 0.4 + 0.5 * -0.3) / 0.75])


def test_vader_knows_good_from_bad() -> None:
    good, bad, again = score_titles(pd.Series(["great gain", "terrible loss", "great gain"]))
    assert good > 0 > bad
    assert good == again


@pytest.mark.usefixtures("quick")
def test_the_command_writes_the_same_report_twice(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "note.md").write_text("Where it comes from.")
    root, prices = made
    written = []
    for _ in range(2):
        output = tmp_path / "STUDY.md"
        given = ["--features", str(root), "--prices", str(prices), "--output", str(output), "--seed", "3"]
        assert main(["study", *given, "--note", str(tmp_path / "note.md")]) == 0
        written.append([output.read_bytes(), *(path.read_bytes() for path in sorted((tmp_path / "study").iterdir()))])
    assert written[0] == written[1]
    assert capsys.readouterr().out.startswith("verdict: ")
    report = output.read_text()
    assert "Where it comes from." in report
    assert "Sessions: 45, from 2020-01-02 to 2020-03-06; 1 of them missed" in report
    assert "25 in the store, 25 of them with prices" in report
    assert str(tmp_path) not in report
    assert "--prices FILE --seed 3 --note FILE`; do not edit" in report
    assert not re.findall(r".*\bnan\b.*", report + (tmp_path / "study" / "tests.csv").read_text())
    assert "Months with a wide enough cross-section: 1, too few to test; 24 are needed." in report
    assert re.search(
        r"^\| monthly \| sentiment_score \| [+-]0\.\d{4} \(no test\) \| 1 \| 25 \|  \|", report, re.MULTILINE
    )
    assert report.count("| traded a period |") == report.count("| traded a day |") == 1
    assert not [word for word in WORDS if word in report]
    assert sorted(path.name for path in (tmp_path / "study").iterdir()) == [
        "around_the_news.png", "increment.png", "long_short.png", "rank_ic.png", "tests.csv",
    ]  # fmt: skip


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("planted", "answer"), [(0.4, "yes"), (0.0, "no")])
def test_the_verdict_follows_what_was_planted(planted: float, answer: str) -> None:
    market = make_market(planted=planted, ticker_count=30)
    learners = {"logistic": LEARNERS["logistic"]}
    found = study.measure(market.features, market.prices, 0, learners)
    assert found.verdict.answer == answer
    assert found.verdict.helps == () or ("sentiment_score", "open-close") in found.verdict.helps


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--features", "absent", "manifest.csv"),
        ("--prices", "absent.csv", "absent.csv: cannot be read"),
        ("--prices", "other.csv", "has none of the 25 tickers"),
        ("--prices", "short.csv", "share no day to trade on"),
        ("--output", "absent/STUDY.md", "absent does not exist"),
        ("--note", "absent.md", "absent.md: cannot be read"),
    ],
)
def test_bad_input_is_one_line(
    made: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    option: str,
    value: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    header = "ticker,date,open,high,low,close,volume\n"
    (tmp_path / "other.csv").write_text(header + "ZZZ,2020-01-02,1,1,1,1,1\n")
    (tmp_path / "short.csv").write_text(header + "T01,2019-01-02,1,1,1,1,1\n")
    given = {"--features": str(made[0]), "--prices": str(made[1]), "--output": "STUDY.md"} | {option: value}
    assert main(["study", *(part for pair in given.items() for part in pair)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert not (tmp_path / "STUDY.md").exists()


def test_missing_headlines_are_named(tmp_path: Path) -> None:
    with pytest.raises(study.StudyError, match=r"2020-01-02\.csv: cannot be read: No such file"):
        read_evidence(tmp_path, pd.DatetimeIndex(["2020-01-02"]))


def test_the_verb_has_an_example_that_parses() -> None:
    options = build_parser().parse_args(["study", "--features", "feature_store", "--prices", "prices.parquet"])
    assert options.output == Path("docs/STUDY.md")
