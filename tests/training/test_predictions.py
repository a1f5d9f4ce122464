"""predictions.csv says the same after a trip to disk, holds no text, and is refused when damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ModelError
from training.data import Example
from training.predictions import (
    COLUMNS,
    id_of,
    labels_of,
    probabilities_of,
    read_predictions,
    write_predictions,
)

ROWS = {
    "validation": [Example("Acme gains", "Acme", 2, 0.5, "fiqa", "post")],
    "test": [Example("Nothing new", "", 1, None, "twitter"), Example("Loss, again", "", 0, None, "phrasebank", "all")],
}
PROBABILITIES = {"validation": np.array([[0.1, 0.2, 0.7]]), "test": np.array([[0, 1, 0], [1 / 3, 1 / 3, 1 / 3]])}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_predictions(tmp_path / "predictions.csv", ROWS, PROBABILITIES)
    return tmp_path / "predictions.csv"


def test_what_is_written_is_read_in_the_same_order(path: Path) -> None:
    table = read_predictions(path)
    assert tuple(table.columns) == COLUMNS
    rows = [(split, row) for split, rows in ROWS.items() for row in rows]
    assert table["split"].tolist() == [split for split, _ in rows]
    assert table["id"].tolist() == [id_of(row) for _, row in rows]
    assert table["slice"].tolist() == ["post", "", "all"]
    assert table["label"].tolist() == ["positive", "neutral", "negative"]
    assert labels_of(table).tolist() == [2, 1, 0]
    np.testing.assert_allclose(probabilities_of(table), np.vstack(list(PROBABILITIES.values())), atol=5e-7)


def test_the_same_rows_give_the_same_bytes_and_no_text(path: Path, tmp_path: Path) -> None:
    write_predictions(tmp_path / "again.csv", ROWS, PROBABILITIES)
    content = path.read_bytes()
    assert content == (tmp_path / "again.csv").read_bytes()
    assert b"Acme" not in content
    assert content.count(b"\n") == 4


def test_float32_and_no_rows_are_written(tmp_path: Path) -> None:
    rows = {"validation": [], "test": ROWS["test"]}
    held = {"validation": np.zeros((0, 3)), "test": PROBABILITIES["test"].astype(np.float32)}
    write_predictions(tmp_path / "p.csv", rows, held)
    assert read_predictions(tmp_path / "p.csv")["split"].tolist() == ["test", "test"]


def test_an_id_tells_source_text_and_target_apart() -> None:
    rows = [("a", "b", "fiqa"), ("a", "", "fiqa"), ("a", "b", "sentfin"), ("c", "b", "fiqa")]
    assert len({id_of(Example(text, target, 0, None, source)) for text, target, source in rows}) == 4
    assert id_of(Example("a", "b", 0, None, "fiqa")) == id_of(Example("a", "b", 2, 0.9, "fiqa", "post"))


DAMAGES: list[tuple[Callable[[str], str], str]] = [
    (lambda text: text.replace("id,", "key,", 1), r"columns are split, key.*; expected split, id"),
    (lambda text: text.replace("fiqa", "reuters"), r"row 1: source is 'reuters'; expected one of phrasebank"),
    (lambda text: text.replace("test,", "dev,"), r"row 2: split is 'dev'; expected one of train"),
    (lambda text: text.replace("positive\n0", "x").replace(",positive,0.1", ",2,0.1"), r"row 1: label is '2'"),
    (lambda text: text.replace("0.200000", "much"), r"row 1: neutral is 'much'; expected a probability in 0..1"),
    (lambda text: text.replace("0.700000", "1.700000"), r"row 1: positive is '1.700000'"),
    (lambda text: text.replace("0.700000", "0.600000"), r"row 1: positive is '0.6'; expected probabilities that sum"),
    (lambda text: text[:-12], r"row 3: positive is"),
    (lambda text: text.replace("all", '"all'), r"cannot be read as CSV|row 3"),
    (lambda text: text[: text.index("\n") + 1] + "validation,12,fiqa,post\n", r"row 1: id is '12'; expected 16 hex"),
    (lambda text: "", r"cannot be read as CSV"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_a_damaged_file_is_refused_in_one_line(path: Path, damage: Callable[[str], str], message: str) -> None:
    path.write_text(damage(path.read_text()))
    with pytest.raises(ModelError, match=message) as caught:
        read_predictions(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none.csv: cannot be read as CSV"):
        read_predictions(tmp_path / "none.csv")
