"""The page about a run: its figures are the run's own, its explanations add up, and no text in it can do anything."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("captum", reason="explain needs captum")
pytest.importorskip("cleanlab", reason="explain needs cleanlab")

from pipeline.errors import PipelineError  # noqa: E402
from pipeline.text import LABELS  # noqa: E402
from training.data import Example, load_examples  # noqa: E402
from training.explain import explain_run  # noqa: E402
from training.model import build_model  # noqa: E402
from training.page.attribution import (  # noqa: E402
    Explanation,
    Group,
    Word,
    explain_example,
    integrate_gradients,
    merge_attention,
    prepare_model,
)
from training.page.charts import spread_ticks, tag  # noqa: E402
from training.page.heat_maps import draw_attention, shade_share  # noqa: E402
from training.page.held_out import HeldRow, join_rows, pick_wrong  # noqa: E402
from training.page.label_errors import find_label_errors  # noqa: E402
from training.page.page import rank_words, render_page, split_text  # noqa: E402
from training.page.review import confuse_classes, name_aspect, name_length, review_fiqa  # noqa: E402
from training.predictions import id_of, labels_of, probabilities_of, read_predictions  # noqa: E402
from training.readers import LocalFolder  # noqa: E402
from training.recipe import ARCHITECTURES, RANDOM  # noqa: E402

from .explained_run import HOSTILE, HOSTILE_TARGET, PER_SOURCE, SMOKE, Explained, make_explained  # noqa: E402

VOID = {"meta", "img", "input", "br"}


@pytest.fixture(autouse=True, scope="module")
def use_one_thread() -> None:
    """The tiny model is far too small for two threads, and slow with them on a busy machine."""
    torch.set_num_threads(1)


@dataclass
class Element:
    """One element of a page: its name, attributes, and all text inside it."""

    name: str
    attributes: dict[str, str]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """A page's elements in order of appearance; fails on one that is closed wrongly."""

    elements: list[Element] = field(default_factory=list)
    opened: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        element = Element(name, {key: value or "" for key, value in attributes})
        self.elements.append(element)
        if name not in VOID:
            self.opened.append(element)

    def handle_endtag(self, name: str) -> None:
        assert self.opened.pop().name == name

    def handle_data(self, data: str) -> None:
        for element in self.opened:
            element.text += data

    def find(self, name: str, **attributes: str) -> list[Element]:
        wanted = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
        return [e for e in self.elements if e.name == name and all(e.attributes.get(k) == v for k, v in wanted.items())]


@pytest.fixture(scope="module")
def explained(mini_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Explained:
    return make_explained(mini_root, tmp_path_factory.mktemp("explained"))


@pytest.fixture(scope="module")
def page(explained: Explained) -> Page:
    parsed = Page()
    parsed.feed(explained.page.read_text(encoding="utf-8"))
    assert not parsed.opened
    return parsed


@pytest.fixture(scope="module")
def held(explained: Explained) -> list[HeldRow]:
    return join_rows(read_predictions(explained.folder / "predictions.csv"), load_examples(explained.data))


def make_row(
    number: int = 1,
    label: int = 0,
    probabilities: tuple[float, ...] = (0.7, 0.2, 0.1),
    score: float | None = None,
    **fields: str,
) -> HeldRow:
    known = {
        "text": "a text",
        "target": "",
        "source": "fiqa",
        "slice": "post",
        "aspect": "Stock/Price",
        "split": "test",
    }
    known |= fields
    split = known.pop("split")
    return HeldRow(number, f"{number:016x}", split, Example(label=label, score=score, **known), label, probabilities)


def test_the_page_has_every_section_and_says_first_that_it_must_not_be_published(page: Page) -> None:
    sections = [element.attributes["id"] for element in page.find("section")]
    assert sections == ["summary", "curves", "confusion", "errors", "fiqa", "labels"]
    (banner,) = page.find("aside")
    assert "do not publish" in banner.text
    assert "CC BY-NC-SA" in banner.text
    assert page.elements.index(banner) < page.elements.index(page.find("section")[0])


def test_the_policy_allows_the_pages_own_style_and_script_and_nothing_else(page: Page) -> None:
    (policy,) = page.find("meta", http_equiv="Content-Security-Policy")
    rules = dict(rule.split(maxsplit=1) for rule in policy.attributes["content"].split("; "))
    assert rules.pop("default-src") == rules.pop("base-uri") == rules.pop("form-action") == "'none'"
    for name in ("style", "script"):
        (element,) = page.find(name)
        digest = base64.b64encode(hashlib.sha256(element.text.encode()).digest()).decode()
        assert rules.pop(f"{name}-src") == f"'sha256-{digest}'"
    assert not rules


def test_nothing_on_the_page_is_loaded_or_run(page: Page) -> None:
    names = {element.name for element in page.elements}
    assert not names & {"img", "link", "iframe", "object", "embed", "base", "audio", "video", "foreignobject"}
    for element in page.elements:
        assert not [key for key in element.attributes if key.startswith("on") or key in ("style", "src", "srcset")]
        assert element.attributes.get("href", "#").startswith("#")
    assert not re.search(r"@import|url\(", page.find("style")[0].text)


def test_hostile_text_stands_on_the_page_letter_by_letter(page: Page) -> None:
    cards = [card.text for card in page.find("article") if "onerror" in card.text]
    assert len(cards) >= 4  # the tweet and the FiQA row, each wrong under two labels at least
    assert all(HOSTILE in card for card in cards)
    assert any(HOSTILE_TARGET in card for card in cards)
    assert any("<b>Risks</b>" in cell.text for cell in page.find("td"))


def test_every_id_is_used_once_and_every_chart_names_itself(page: Page) -> None:
    ids = [element.attributes["id"] for element in page.elements if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    charts = page.find("svg", role="img")
    assert len(charts) > 10
    for chart in charts:
        assert set(chart.attributes["aria-labelledby"].split()) <= set(ids)


def test_the_figures_are_those_of_the_run(explained: Explained, page: Page) -> None:
    metrics = json.loads((explained.folder / "metrics.json").read_text())
    (summary,) = page.find("section", id="summary")
    for measures in metrics["test"]["model"].values():
        low, high = measures["accuracy_interval"]
        assert f"{measures['accuracy']:.3f} {low:.3f} to {high:.3f}" in summary.text
        assert f"{measures['macro_f1']:.3f}" in summary.text
    cells = [
        int(re.match(r"\d+", cell.text)[0]) for cell in page.find("td") if "hit" in cell.attributes.get("class", "")
    ]
    diagonals = [
        np.diagonal(metrics["test"]["model"][s]["confusion"]) for s in ("phrasebank", "twitter", "fiqa", "sentfin")
    ]
    assert cells == [int(count) for diagonal in diagonals for count in diagonal]
    assert f"{metrics['calibration']['ece_after']:.3f}" in summary.text
    assert f"{metrics['test']['model']['overall']['ece']:.3f}" in summary.text


def test_every_wrong_test_row_has_a_card_the_most_confident_of_a_source_first(
    explained: Explained,
    page: Page,
) -> None:
    table = read_predictions(explained.folder / "predictions.csv")
    probabilities = probabilities_of(table)
    is_wrong = (probabilities.argmax(axis=1) != labels_of(table)) & (table["split"] == "test").to_numpy()
    shown = [int(card.attributes["data-number"]) - 1 for card in page.find("article")]
    assert sorted(shown) == np.flatnonzero(is_wrong).tolist()
    for source in table["source"].unique():
        confidences = [probabilities[i].max() for i in shown if table["source"].iloc[i] == source]
        assert confidences == sorted(confidences, reverse=True)


def test_the_same_run_gives_the_same_bytes(explained: Explained, tmp_path: Path) -> None:
    again = explain_run(explained.folder, explained.data, tmp_path / "again.html", PER_SOURCE)
    assert again.read_bytes() == explained.page.read_bytes()


def test_fewer_rows_are_explained_when_asked(explained: Explained, tmp_path: Path) -> None:
    few = explain_run(explained.folder, explained.data, tmp_path / "few.html", per_source=1).read_text()
    assert few.count("<article") == 4


@pytest.mark.parametrize(
    ("damage", "output", "expected"),
    [
        ("predictions.csv", "page.html", "predictions.csv is missing.*train again"),
        ("metrics.json", "page.html", "metrics.json is missing"),
        ("", "run/page.html", "lies in the run folder, which gets published"),
        ("", "absent/page.html", "expected a file name in a folder that exists"),
        ("", ".", "expected a file name in a folder that exists"),
    ],
)
def test_what_cannot_be_explained_is_refused_in_one_line(
    explained: Explained,
    tmp_path: Path,
    damage: str,
    output: str,
    expected: str,
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(explained.folder, folder)
    if damage:
        (folder / damage).unlink()
    with pytest.raises(PipelineError, match=expected) as raised:
        explain_run(folder, explained.data, tmp_path / output)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.glob("*.html"))


def test_an_exported_model_and_an_older_runs_metrics_are_refused(explained: Explained, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(explained.folder, folder)
    (folder / "metrics.json").write_text('{"epochs": [], "best_epoch": 1, "test": {}, "validation": {}}')
    with pytest.raises(PipelineError, match="calibration missing"):
        explain_run(folder, explained.data, tmp_path / "page.html")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model_quantized.onnx").write_bytes(b"")
    with pytest.raises(PipelineError, match="neither gradients nor attention"):
        explain_run(folder, explained.data, tmp_path / "page.html")


def test_other_data_than_the_runs_is_refused(explained: Explained, mini_data: LocalFolder, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"row \d+: id [0-9a-f]{16} is no row of"):
        explain_run(explained.folder, mini_data, tmp_path / "page.html")


def test_a_model_without_attention_and_a_source_without_errors_are_said_so(
    explained: Explained,
    held: list[HeldRow],
) -> None:
    metrics, provenance = (json.loads((explained.folder / f"{n}.json").read_text()) for n in ("metrics", "provenance"))
    row = next(row for row in held if row.is_wrong and row.split == "test")
    found = Explanation((Word("a", 0, 0, 1, 0.5),), 1.0, 0.4, 0.1, 32, None, row.probabilities, (row.example.text, ""))
    wrong = {row.example.source: [row], "sentfin": []}
    text = render_page("run", metrics, provenance | {"contamination": CONTAMINATION}, held, wrong, {row.number: found})
    assert "This architecture gives no attention maps." in text
    assert "more than 5 %: read the shades with care" in text
    assert "No test row is wrong." in text
    assert "about 12.5\u00a0% of 10 test rows. Its &lt;own&gt; list says so." in text
    far = replace(found, probabilities=tuple(np.roll(row.probabilities, 1)))
    assert "is not the one they came from" in render_page("run", metrics, provenance, held, wrong, {row.number: far})


CONTAMINATION = [
    {
        "source": "phrasebank",
        "test_row_count": 10,
        "known_share": 0.125,
        "is_exact": False,
        "evidence": "",
        "statement": "Its <own> list says so.",
    }
]


@pytest.mark.parametrize("target", ["", "Acme & Co 😀"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_attributions_add_up_on_every_architecture(architecture: str, target: str) -> None:
    torch.manual_seed(0)
    recipe = replace(SMOKE, architecture=architecture, base=RANDOM + architecture)
    model, tokenizer = build_model(recipe)
    example = Example("profit <b>soars</b> 😀 مرحبا 20% naïve", target, 2, None, "twitter")
    found = explain_example(prepare_model(model), tokenizer, 96, example, 0, 2)
    logits = np.log(found.probabilities)
    assert found.gap == pytest.approx(logits[0] - logits[2], abs=1e-4)  # embeddings in, or ids in: one answer
    assert found.is_converged
    assert sum(word.attribution for word in found.words) == pytest.approx(found.gap - found.baseline_gap, abs=0.01)
    assert sum(word.attribution for word in found.words if word.segment is None) == pytest.approx(0, abs=1e-5)
    assert found.attention.sum(axis=1) == pytest.approx(np.ones(len(found.words)), abs=1e-4)
    for segment, text in enumerate((example.text, example.target)):
        assert "".join(piece.text for piece in split_text(found, segment)) == text


def test_a_row_is_shown_as_a_model_with_marks_reads_it() -> None:
    torch.manual_seed(0)
    model, tokenizer = build_model(replace(SMOKE, mark_company=True))
    example = Example("profit at Acme soars", "Acme", 2, None, "sentfin")
    found = explain_example(prepare_model(model), tokenizer, 96, example, 0, 2)
    assert "".join(piece.text for piece in split_text(found, 0)) == "profit at * Acme * soars"
    assert "".join(piece.text for piece in split_text(found, 1)) == "Acme"


class LinearModel(torch.nn.Module):
    """Logits that are sums over tokens: what integrated gradients must find is known exactly."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(6, 3)
        self.embedding.weight = torch.nn.Parameter(torch.arange(18.0).reshape(6, 3) ** 1.5)

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.embedding

    def forward(self, inputs_embeds: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=inputs_embeds.sum(dim=1))


def test_integrated_gradients_are_exact_on_a_linear_model() -> None:
    model, weight = LinearModel(), (torch.arange(18.0).reshape(6, 3) ** 1.5).numpy()
    found = integrate_gradients(model, {"input_ids": torch.tensor([[1, 4, 5, 2]])}, [1, 2], 0, 2, 0)
    expected = [weight[i, 2] - weight[i, 0] - weight[0, 2] + weight[0, 0] for i in (4, 5)]
    assert found.weights == pytest.approx([0, *expected, 0], abs=1e-3)
    assert found.delta == pytest.approx(0, abs=1e-3)
    assert found.steps == 24


def test_a_text_longer_than_the_model_reads_is_shown_whole_and_marked(explained: Explained, page: Page) -> None:
    unread = {element.text for element in page.find("span", class_="unread")}
    assert any(text and HOSTILE.endswith(text) for text in unread)


def test_attention_of_pieces_becomes_attention_of_words() -> None:
    heads = np.array(
        [[[0.2, 0.3, 0.5], [0.4, 0.4, 0.2], [0.0, 0.2, 0.8]], [[0.4, 0.1, 0.5], [0.6, 0.0, 0.4], [1, 0, 0]]]
    )
    merged = merge_attention(heads, [Group((0,), None, 0, 0, "[CLS]"), Group((1, 2), 0, 0, 4)])
    assert merged == pytest.approx(np.array([[0.3, 0.7], [0.5, 0.5]]))


def test_rows_with_one_id_are_taken_in_the_datas_order_and_training_rows_left_out() -> None:
    twins = [Example("same", "", label, None, "twitter") for label in (0, 1)]
    other = Example("other", "", 2, None, "twitter")
    cells = [("train", other), ("validation", twins[0]), ("test", twins[1])]
    table = pd.DataFrame(
        [(split, id_of(example), "twitter", "", LABELS[example.label], 0.2, 0.3, 0.5) for split, example in cells],
        columns=["split", "id", "source", "slice", "label", *LABELS],
    )
    rows = join_rows(table, [*twins, other])
    assert [(row.number, row.split, row.example) for row in rows] == [
        (2, "validation", twins[0]),
        (3, "test", twins[1]),
    ]
    assert [row.label for row in rows] == [0, 1]


def test_only_wrong_test_rows_are_picked_the_most_confident_first() -> None:
    rows = [
        make_row(1, 0, (0.7, 0.2, 0.1)),
        make_row(2, 1, (0.5, 0.4, 0.1)),
        make_row(3, 1, (0.9, 0.1, 0.0)),
        make_row(4, 1, (0.9, 0.1, 0.0)),
        make_row(5, 1, (1.0, 0.0, 0.0), split="validation"),
        make_row(6, 0, (1.0, 0.0, 0.0), source="twitter"),
    ]
    picked = pick_wrong(rows, 2)
    assert {source: [row.number for row in held] for source, held in picked.items()} == {"fiqa": [3, 4], "twitter": []}


def test_planted_label_errors_are_found_and_sound_labels_are_not() -> None:
    random = np.random.default_rng(0)
    rows = []
    for number in range(1, 301):
        true, share = number % 3, random.uniform(0.85, 0.97)
        given = (true + 1) % 3 if number % 10 == 0 else true
        rows.append(make_row(number, given, tuple(share if c == true else (1 - share) / 2 for c in range(3))))
    found = find_label_errors(rows)
    assert sorted(row.number for row in found.rows) == list(range(10, 301, 10))
    assert list(found.qualities) == sorted(found.qualities)
    assert found.qualities == tuple(row.probabilities[row.label] for row in found.rows)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_one_class_alone_gives_no_label_errors(count: int) -> None:
    found = find_label_errors([make_row(i, 1, (0.9, 0.1, 0.0)) for i in range(count)])
    assert (found.row_count, found.rows) == (count, ())


def test_confused_pairs_are_counted_the_most_frequent_first() -> None:
    rows = [
        make_row(1, 0, (0.1, 0.2, 0.7)),
        make_row(2, 1, (0.1, 0.1, 0.8)),
        make_row(3, 1, (0.0, 0.1, 0.9)),
        make_row(4, 1, (0.1, 0.8, 0.1)),
    ]
    matrix, pairs = confuse_classes(rows)
    assert matrix.tolist() == [[0, 0, 1], [0, 1, 2], [0, 0, 0]]
    assert [(p.true, p.predicted, [row.number for row in p.rows]) for p in pairs] == [
        ("neutral", "positive", [3, 2]),
        ("negative", "positive", [1]),
    ]
    assert [pair.share for pair in pairs] == pytest.approx([2 / 3, 1.0])


def test_fiqa_is_reviewed_by_kind_length_and_aspect_on_test_rows_alone() -> None:
    rows = [
        make_row(1, 2, (0.0, 0.0, 1.0), 0.5, text="word " * 3, slice="post", aspect="Stock/Price/Up"),
        make_row(2, 0, (0.0, 0.5, 0.5), -0.9, text="word " * 30, slice="headline", aspect="Corporate"),
        make_row(3, 0, (1.0, 0.0, 0.0), -1.0, split="validation"),
        make_row(4, 0, (1.0, 0.0, 0.0), source="twitter"),
    ]
    review = review_fiqa(rows)
    assert review.row_count == 2
    assert [row.number for row in review.rows] == [2, 1]
    groups = {title: [(g.name, g.row_count) for g in held] for title, held in review.groups.items()}
    assert groups == {
        "Kind": [("headline", 1), ("post", 1)],
        "Length": [("1 to 8 words", 1), ("21 words or more", 1)],
        "Aspect": [("Corporate", 1), ("Stock", 1)],
        "Aspect, second level": [],
    }
    headline = review.groups["Kind"][0]
    assert (headline.mse, headline.bias, headline.accuracy) == pytest.approx((1.4**2, 1.4, 0.0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one", "1 to 8 words"),
        ("w " * 8, "1 to 8 words"),
        ("w " * 9, "9 to 14 words"),
        ("w " * 20, "15 to 20 words"),
        ("w " * 21, "21 words or more"),
        ("", "1 to 8 words"),
    ],
)
def test_length_groups_hold_both_their_ends(text: str, expected: str) -> None:
    assert name_length(make_row(text=text)) == expected


@pytest.mark.parametrize(
    ("aspect", "depth", "expected"),
    [
        ("Stock/Price Action/Bullish", 1, "Stock"),
        ("Stock/Price Action/Bullish", 2, "Stock / Price Action"),
        ("Stock", 2, ""),
        ("", 1, ""),
        ("/Stock/", 1, "Stock"),
    ],
)
def test_aspects_are_cut_at_a_level(aspect: str, depth: int, expected: str) -> None:
    assert name_aspect(make_row(aspect=aspect), depth) == expected


def test_words_are_ranked_by_their_push_in_one_direction() -> None:
    words = [("[CLS]", None, 9.0), ("up", 0, 0.5), ("down", 0, -0.7), ("flat", 0, 0.001), ("Acme", 1, 0.6)]
    found = Explanation(tuple(Word(w, s, 0, 1, v) for w, s, v in words), 0, 0, 0, 32, None, (1, 0, 0), ("", ""))
    assert [word.shown for word in rank_words(found, 1)] == ["Acme", "up"]
    assert [word.shown for word in rank_words(found, -1)] == ["down"]


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20))
def test_ticks_enclose_the_values_at_equal_distances(values: list[float]) -> None:
    ticks = spread_ticks(values)
    steps = np.diff(ticks)
    assert 2 <= len(ticks) <= 8
    assert np.allclose(steps, steps[0])
    slack = 1e-6 * max(1.0, steps[0])
    assert ticks[0] <= min(values) + slack
    assert max(values) - slack <= ticks[-1]


@pytest.mark.parametrize(("share", "step"), [(0, 0), (0.001, 1), (0.1, 1), (0.1001, 2), (1, 10), (1.5, 10)])
def test_shares_have_ten_shades_and_only_nothing_has_none(share: float, step: int) -> None:
    assert shade_share(share) == step


def test_charts_escape_what_they_are_given() -> None:
    assert (
        tag("text", "<b>&", title='"', stroke_width=1.25)
        == '<text title="&#34;" stroke-width="1.2">&lt;b&gt;&amp;</text>'
    )
    drawn = draw_attention("k", ["<script>", "b"], np.array([[0.0, 1.0], [0.5, 0.5]]))
    assert "<script>" not in drawn
    assert "Strongest: &lt;script&gt; at b (1.00)" in drawn
