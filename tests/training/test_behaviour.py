"""The suite is what it says, a row or figure that is not is refused, and the tables count what a reader would count."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.model_folder import write_json
from pipeline.similarity import similar_pairs
from pipeline.text import LABELS, fold_text
from training.behaviour import (
    OVERALL,
    SIGNS,
    BehaviourError,
    Case,
    count_right,
    find_pairs,
    hash_suite,
    measure_baselines,
    measure_behaviour,
    measure_folder,
    read_behaviour,
    wilson_interval,
)
from training.behaviour_table import (
    BEGIN,
    END,
    format_behaviour,
    format_change,
    format_mistakes,
    format_report,
    name_models,
    replace_tables,
)
from training.data import load_examples
from training.readers import LocalFolder

PROJECT = Path(__file__).parent.parent.parent
BEFORE = PROJECT / "training" / "behaviour_before.json"
CASES = read_behaviour()
HEADER = "capability,headline,company,label,pair\n"
TWO_CLASSES = {"negation", "comparatives", "sides", "costs", "numbers", "capitals", "symbols", "time", "invariance"}
SMALL = [
    Case("costs", "Fuel costs fall at Acme", "Acme", 2, "costs-1"),
    Case("costs", "Fares fall at Acme", "Acme", 0, "costs-1"),
    Case("capitals", "Acme soars", "Acme", 2, "capitals-1"),
    Case("capitals", "ACME SOARS", "Acme", 2, "capitals-1"),
    Case("facts", "Acme meets on Monday", "", 1, ""),
]


def predict(signs: str) -> np.ndarray:
    return np.array([SIGNS.index(sign) for sign in signs])


# --- the suite -------------------------------------------------------------------------------------------------------


def test_every_capability_has_enough_rows_and_the_suite_enough_of_every_label() -> None:
    rows = Counter(case.capability for case in CASES)
    assert len(rows) >= 10
    assert min(rows.values()) >= 15
    labels = Counter(case.label for case in CASES)
    assert all(labels[label] / len(CASES) >= 0.25 for label in range(len(LABELS)))


@pytest.mark.parametrize("capability", sorted(TWO_CLASSES))
def test_good_and_bad_are_balanced_where_both_occur(capability: str) -> None:
    labels = Counter(case.label for case in CASES if case.capability == capability)
    assert abs(labels[0] - labels[2]) <= 2


def test_facts_are_neutral_and_questions_mostly() -> None:
    assert {case.label for case in CASES if case.capability == "facts"} == {1}
    for case in CASES:
        if case.headline.endswith("?") and not case.headline.startswith("Why"):
            assert case.label == 1, case.headline


def test_a_pair_is_about_one_headline_or_one_company() -> None:
    for places in find_pairs(CASES).values():
        one, two = (CASES[i] for i in places)
        assert (one.headline == two.headline) != (one.company == two.company), one


def test_sides_are_one_headline_with_a_label_for_each_company() -> None:
    for places in find_pairs([case for case in CASES if case.capability == "sides"]).values():
        assert len(places) == 2
    for one, two in zip(*[iter([case for case in CASES if case.capability == "sides"])] * 2, strict=True):
        assert one.headline == two.headline
        assert one.label != two.label


def test_capitals_and_invariance_are_twins_and_other_pairs_contrasts() -> None:
    for places in find_pairs(CASES).values():
        one, two = (CASES[i] for i in places)
        assert (one.label == two.label) == (one.capability in ("capitals", "invariance")), one


def test_capital_twins_differ_in_case_alone() -> None:
    for one, two in (tuple(CASES[i] for i in places) for places in find_pairs(CASES).values()):
        if one.capability == "capitals":
            assert two.headline == one.headline.upper() != one.headline


def test_the_company_is_named_in_words_or_by_a_cashtag() -> None:
    for case in CASES:
        assert fold_text(case.company) in fold_text(case.headline) or case.headline.partition("$")[2][:1].isupper(), (
            case
        )


def test_no_headline_of_the_suite_is_a_near_duplicate_of_a_labelled_row(data_dir: Path) -> None:
    known = sorted({example.text for example in load_examples(LocalFolder(data_dir))})
    texts = [*known, *sorted({case.headline for case in CASES})]
    found = similar_pairs(texts, 0.6, first=len(known))
    assert not [(texts[i], texts[j]) for i, j, _ in found if i < len(known)]


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns are None; expected capability, headline, company, label, pair"),
        ("a,b\n", "columns are ['a', 'b']"),
        (HEADER, "no rows"),
        (HEADER + "costs,Acme up,Acme,good,\n", "suite.csv:2: label is 'good'; expected one of negative"),
        (HEADER + "costs,Acme  up,Acme,positive,\n", "suite.csv:2: headline is 'Acme  up'; expected clean text"),
        (HEADER + "costs,,Acme,positive,\n", "suite.csv:2: headline is ''"),
        (HEADER + ",Acme up,Acme,positive,\n", "suite.csv:2: capability is ''"),
        (HEADER + "costs,Acme up,Acme,positive\n", "suite.csv:2: not 5 values"),
        (HEADER + "costs,Acme up,Acme,positive,,x\n", "suite.csv:2: not 5 values"),
        (HEADER + "a,Acme up,Acme,positive,\nb,Acme up,Acme,neutral,\n", "'Acme up' stands 2 times for 'Acme'"),
        (HEADER + "a,Acme up,Acme,positive,a-1\n", "pair 'a-1' has 1 rows; expected two of one capability"),
        (HEADER + "a,Up,,positive,p\nb,Down,,negative,p\n", "pair 'p' has 2 rows; expected two of one capability"),
    ],
)
def test_a_bad_suite_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "suite.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BehaviourError) as caught:
        read_behaviour(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_suite_and_one_in_another_encoding_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BehaviourError, match="cannot be read"):
        read_behaviour(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes((HEADER + "facts,Mäkelä meets,,neutral,\n").encode("iso-8859-1"))
    with pytest.raises(BehaviourError, match="not a CSV file"):
        read_behaviour(tmp_path / "latin.csv")


# --- counting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signs", "accuracy", "pairs", "twins"),
    [
        ("+-++0", 1.0, 1.0, 1.0),
        ("++++0", 0.8, 0.5, 1.0),
        ("--++0", 0.8, 0.5, 1.0),
        ("+---0", 0.6, 0.5, 1.0),
        ("+-+-0", 0.8, 0.5, 0.0),
        ("-+0--", 0.0, 0.0, 0.0),
    ],
)
def test_rows_pairs_and_twins_are_counted(signs: str, accuracy: float, pairs: float, twins: float) -> None:
    found = count_right(SMALL, predict(signs))
    overall = found["capabilities"][OVERALL]
    assert (overall["row_count"], overall["pair_count"], overall["twin_count"]) == (5, 2, 1)
    assert (overall["accuracy"], overall["pair_accuracy"], overall["twin_agreement"]) == (accuracy, pairs, twins)
    assert found["predicted"] == signs
    assert list(found["capabilities"]) == ["costs", "capitals", "facts", OVERALL]


def test_a_capability_without_pairs_or_twins_says_nothing_of_them() -> None:
    found = count_right(SMALL, predict("+-++0"))["capabilities"]
    assert "pair_count" not in found["facts"]
    assert "twin_count" not in found["costs"]


def test_the_scorer_is_asked_for_every_row_in_order() -> None:
    asked: list[tuple[str, str]] = []

    def score(pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        asked.extend(pairs)
        return np.eye(3)[[case.label for case in CASES]]

    found = measure_behaviour(score, CASES)
    assert asked == [(case.headline, case.company) for case in CASES]
    assert all(one["accuracy"] == 1 for one in found["capabilities"].values())


@settings(max_examples=30)
@given(st.integers(0, 100), st.integers(0, 2**31))
def test_shares_lie_in_their_intervals_and_the_overall_one_is_the_mean_over_rows(skill: int, seed: int) -> None:
    random = Random(seed)
    labels = [case.label if random.random() < skill / 100 else random.randrange(3) for case in CASES]
    found = count_right(CASES, np.array(labels))["capabilities"]
    for one in found.values():
        for share in ("accuracy", "pair_accuracy", "twin_agreement"):
            if share in one:
                low, high = one[f"{share}_interval"]
                assert 0 <= low <= one[share] + 1e-12
                assert one[share] <= high + 1e-12 <= 1 + 2e-12
    *parts, overall = found.values()
    assert sum(one["accuracy"] * one["row_count"] for one in parts) / len(CASES) == pytest.approx(overall["accuracy"])


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),  # z^2 / (n + z^2)
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I, method 3
    ],
)
def test_intervals_are_wilsons(right: int, count: int, low: float, high: float) -> None:
    found = wilson_interval(right, count)
    assert math.isclose(found[0], low, abs_tol=6e-5)
    assert math.isclose(found[1], high, abs_tol=6e-5)


def test_a_constant_answer_gets_no_contrast_right() -> None:
    for label in range(3):
        found = count_right(CASES, np.full(len(CASES), label))["capabilities"]
        assert found["costs"]["pair_accuracy"] == found["numbers"]["pair_accuracy"] == 0
        assert found["capitals"]["twin_agreement"] == 1


def test_baselines_are_the_commonest_label_and_vader() -> None:
    found = measure_baselines(CASES)
    commonest = max(Counter(case.label for case in CASES).values())
    assert found["majority"]["capabilities"][OVERALL]["accuracy"] == commonest / len(CASES)
    assert set(found["majority"]["predicted"]) < set(SIGNS)
    assert len(set(found["vader"]["predicted"])) == 3


# --- stored figures --------------------------------------------------------------------------------------------------


def test_stored_figures_come_back_as_they_were(tmp_path: Path) -> None:
    figures = count_right(CASES, np.ones(len(CASES), dtype=int))
    write_json(tmp_path / "figures.json", figures)
    assert measure_folder(tmp_path / "figures.json", CASES) == figures


def test_stored_figures_of_another_suite_are_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "figures.json", count_right(SMALL, predict("+-++0")))
    with pytest.raises(BehaviourError, match="not measured on this suite"):
        measure_folder(tmp_path / "figures.json", CASES)
    assert hash_suite(SMALL) != hash_suite(SMALL[::-1]) != hash_suite(CASES)


def test_the_figures_from_before_are_of_this_suite_and_agree_with_their_own_predictions() -> None:
    before = measure_folder(BEFORE, CASES)
    again = count_right(CASES, predict(before["predicted"]))
    assert before["model"]["recipe"]
    assert {key: before[key] for key in again} == again


def test_the_embedded_model_can_be_measured() -> None:
    found = measure_folder(PROJECT / "pipeline" / "default_model", CASES)
    assert found["capabilities"][OVERALL]["accuracy"] > 0.6
    assert set(found["model"]) == {"recipe", "seed", "revision"}


# --- tables ----------------------------------------------------------------------------------------------------------


def test_the_table_lays_models_beside_baselines() -> None:
    before, after = (count_right(SMALL, predict(signs)) for signs in ("++++0", "+-++0"))
    baselines = {"majority": count_right(SMALL, predict("+++++"))}
    assert format_behaviour({"before": before, "after": after}, baselines).split("\n") == [
        "| capability | rows | commonest label | before: accuracy (95 %) | pairs | twins "
        "| after: accuracy (95 %) | pairs | twins |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| costs | 2 | 0.50 | 0.50 (0.09-0.91) | 0.00 of 1 |  | 1.00 (0.34-1.00) | 1.00 of 1 |  |",
        "| capitals | 2 | 1.00 | 1.00 (0.34-1.00) | 1.00 of 1 | 1.00 of 1 | 1.00 (0.34-1.00) | 1.00 of 1 | 1.00 of 1 |",
        "| facts | 1 | 0.00 | 1.00 (0.21-1.00) |  |  | 1.00 (0.21-1.00) |  |  |",
        "| **overall** | **5** | **0.60** | **0.80 (0.38-0.96)** | **0.50 of 2** | **1.00 of 1** "
        "| **1.00 (0.57-1.00)** | **1.00 of 2** | **1.00 of 1** |",
    ]


def test_a_change_counts_rows_mended_and_broken() -> None:
    before, after = (count_right(SMALL, predict(signs)) for signs in ("-+++-", "+-+-0"))
    assert format_change(before, after, SMALL).startswith(
        "Rows that became right: 3; that became wrong: 1 (exact McNemar p = 0.62,"
    )


def test_mistakes_are_listed_under_their_capability() -> None:
    assert format_mistakes(count_right(SMALL, predict("++++-")), SMALL).split("\n") == [
        "costs",
        "  positive instead of negative: Fares fall at Acme [Acme]",
        "facts",
        "  negative instead of neutral: Acme meets on Monday",
    ]
    assert format_mistakes(count_right(SMALL, predict("+-++0")), SMALL) == "no mistakes"


def test_a_report_names_the_models_and_says_what_changed() -> None:
    before = {"model": {"recipe": "old", "seed": 1, "revision": None}} | count_right(SMALL, predict("++++0"))
    after = count_right(SMALL, predict("+-++0"))
    report = format_report(name_models([before, after]), {}, SMALL)
    assert report.startswith("- before: recipe old, seed 1\n- after: no record of its making\n\n| capability |")
    assert "Rows that became right: 1; that became wrong: 0" in report
    assert "became right" not in format_report(name_models([after]), {}, SMALL)


def test_one_model_or_two() -> None:
    figures = count_right(SMALL, predict("+-++0"))
    assert list(name_models([figures])) == ["model"]
    assert list(name_models([figures] * 2)) == ["before", "after"]
    for count in (0, 3):
        with pytest.raises(BehaviourError, match=f"{count} models; expected one, or two"):
            name_models([figures] * count)


def test_tables_go_between_the_marks_and_nowhere_else() -> None:
    document = f"a\n{BEGIN}\nold\n{END}\nb\n"
    assert replace_tables(document, "new") == f"a\n{BEGIN}\n\nnew\n\n{END}\nb\n"
    assert replace_tables(replace_tables(document, "new"), "new") == replace_tables(document, "new")
    for mark in (BEGIN, END):
        with pytest.raises(BehaviourError, match="is missing; expected both marks"):
            replace_tables(document.replace(mark, ""), "new")


def test_the_page_has_its_marks_and_names_every_capability() -> None:
    page = (PROJECT / "docs" / "BEHAVIOUR.md").read_text(encoding="utf-8")
    assert replace_tables(page, "x") != page
    for capability in dict.fromkeys(case.capability for case in CASES):
        assert f"| {capability} | " in page.partition("## Capabilities")[2]
