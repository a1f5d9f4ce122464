"""Score files: every float32 comes back, and nothing that is not as it was written is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.files import compute_sha256
from pipeline.score_file import (
    Origin,
    ScoreFileError,
    Scores,
    decode_scores,
    encode_scores,
    find_keys,
    read_scores,
    write_scores,
)

ORIGIN = Origin("a" * 40, "b" * 64, "Some, CPU (avx2)")
SCORES = Scores(np.array([7, 2**64 - 1], np.uint64), np.array([[0.1, 0.2, 0.7], [0, 1, 5e-38]], np.float32))
TEXT = encode_scores(ORIGIN, SCORES).decode()
ROW = "0000000000000007,0.10000000149011612,0.20000000298023224,0.699999988079071"
PROBABILITY = st.floats(0, 1, width=32)


def seal(text: str) -> str:
    """Return ``text`` with a last line that vouches for it."""
    return f"{text}sha256,{compute_sha256(text.encode())}\n"


@given(st.dictionaries(st.integers(0, 2**64 - 1), st.tuples(PROBABILITY, PROBABILITY, PROBABILITY)), st.text())
def test_every_score_comes_back_to_the_last_bit(rows: dict[int, tuple[float, ...]], cpu: str) -> None:
    cpu = " ".join(cpu.split())
    ordered = sorted(rows)
    scores = Scores(np.array(ordered, np.uint64), np.array([rows[key] for key in ordered], np.float32).reshape(-1, 3))
    origin, found = decode_scores(encode_scores(Origin("a", "b", cpu), scores).decode(), "here")
    assert origin == Origin("a", "b", cpu)
    assert found.keys.tolist() == ordered
    assert found.probabilities.dtype == np.float32
    assert found.probabilities.tobytes() == scores.probabilities.tobytes()


def test_a_file_says_where_its_scores_come_from_and_holds_no_headline(tmp_path: Path) -> None:
    keys = find_keys([("Apple beats estimates", "Apple")])
    path = tmp_path / "new" / "scores-2015-03.csv"
    write_scores(path, ORIGIN, Scores(keys, np.array([[0, 0, 1]], np.float32)))
    assert path.read_text().splitlines()[:5] == [
        f"model_revision,{'a' * 40}",
        f"onnx_sha256,{'b' * 64}",
        'cpu,"Some, CPU (avx2)"',
        "key,p_negative,p_neutral,p_positive",
        f"{int(keys[0]):016x},0.0,0.0,1.0",
    ]
    assert "Apple" not in path.read_text()
    assert [path.name for path in path.parent.iterdir()] == ["scores-2015-03.csv"]


def test_pairs_have_keys_of_their_own() -> None:
    pairs = [("Apple", ""), ("", "Apple"), ("Apple", "Apple"), ("AppleApple", ""), ("apple", "")]
    assert len(set(find_keys(pairs).tolist())) == len(pairs)


@pytest.mark.parametrize("length", range(0, len(TEXT) - 1, 7))
def test_a_file_cut_off_anywhere_is_refused(length: int) -> None:
    with pytest.raises(ScoreFileError, match="here: damaged: its last line is not the SHA-256"):
        decode_scores(TEXT[:length], "here")


BODY = TEXT[: TEXT.index("\nsha256,") + 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "damaged"),
        (TEXT.replace("0.1", "0.2", 1), "damaged"),
        (TEXT + "\n", "damaged"),
        (seal(""), "expected lines model_revision, onnx_sha256, cpu, then columns key,p_negative"),
        (seal("headline,time\n"), "expected lines model_revision"),
        (seal(BODY.replace("cpu,", "CPU,")), "expected lines model_revision"),
        (seal(BODY.replace("p_negative,p_neutral", "p_neutral,p_negative")), "expected lines model_revision"),
        (seal(BODY.replace(ROW, f"{ROW}\n{ROW}")), "line 6: expected keys in ascending order, each once"),
        (
            seal(BODY.replace(ROW, f"{ROW}\n0000000000000007,0.0,0.0,1.0")),
            "line 6: expected keys in ascending order, each once",
        ),
        (seal(BODY.replace("0.10000000149011612", "0.1")), "line 5: expected float32 from 0 to 1"),
        (seal(BODY.replace("0.10000000149011612", "-0.5")), "line 5: expected float32 from 0 to 1"),
        (seal(BODY.replace("0.10000000149011612", "1.5")), "line 5: expected float32 from 0 to 1"),
        (seal(BODY.replace("0.10000000149011612", "nan")), "line 5: expected float32 from 0 to 1"),
        (seal(BODY.replace("0.10000000149011612", "much")), "line 5: expected a key and three probabilities"),
        (seal(BODY.replace("0.10000000149011612,", "")), "line 5: expected a key and three probabilities"),
        (seal(BODY.replace("0000000000000007", "7")), "line 5: expected a key and three probabilities"),
        (seal(BODY.replace(ROW, "")), "line 5: expected a key and three probabilities"),
    ],
)
def test_what_is_not_as_it_was_written_is_refused_by_line(text: str, message: str) -> None:
    with pytest.raises(ScoreFileError) as caught:
        decode_scores(text, "here")
    assert str(caught.value).startswith("here: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "scores-a.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(ScoreFileError, match=r"scores-a\.csv: not UTF-8"):
        read_scores(tmp_path / "scores-a.csv")
