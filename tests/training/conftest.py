"""A small data folder in the layout of the real sets. Every text is made up here from plain words."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from training.encoder_recipe import EncoderRecipe
from training.readers import LocalFolder

VOCABULARY = """
amber basket candle dagger ember falcon garden harbour island jacket kettle ladder marble needle orchard
pepper quarry ribbon saddle timber umbrella velvet window yellow zephyr anchor bridge copper desert engine
feather glacier hammer insect jungle kingdom lantern meadow nickel ocean pillow quiver rocket silver tunnel
urchin valley walnut yonder zigzag
"""
WORDS = VOCABULARY.split()
SIGNS = {"negative": "losses widen", "neutral": "meeting held", "positive": "profit soars"}
TWITTER = {"negative": "0", "positive": "1", "neutral": "2"}
FIQA_FILE = "fiqa_2018_task1/fiqa_task1_flat.csv"
FIQA_COLUMNS = ("_id", "sentence", "target", "aspect", "score", "type", "hf_split")
CORPUS = "unlabelled/headlines.parquet"
FIQA = {"negative": "-0.6", "neutral": "0.05", "positive": "0.7"}
ENCODER = EncoderRecipe(
    name="wire",
    base="random:bert",
    revision="",
    weight_sha256="",
    seed=42,
    corpus=CORPUS,
    headlines=60,
    vocabulary=141,
    max_length=32,
    epochs=1,
    batch_size=16,
    learning_rate=5e-3,
    weight_decay=0.0,
    warmup_share=0.1,
    mask_share=0.2,
)
"""A pretraining of seconds on CORPUS."""


@pytest.fixture(scope="session")
def mini_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with all four sources: 40 texts per label each, near-duplicates only by chance."""
    root, random = tmp_path_factory.mktemp("data"), Random(7)
    write_phrasebank(root, [f"{text}@{name}" for text, name in make_texts(random)])
    tweets = [(text, TWITTER[name]) for text, name in make_texts(random)]
    write_table(root, "twitter_financial_news/sent_train.csv", ("text", "label"), tweets[:90])
    write_table(root, "twitter_financial_news/sent_valid.csv", ("text", "label"), tweets[90:])
    fiqa = [
        (
            str(i),
            text,
            "Acme",
            "Stock/Price",
            FIQA[name],
            ("post", "headline")[i % 2],
            ("train", "valid", "test")[i % 3],
        )
        for i, (text, name) in enumerate(make_texts(random))
    ]
    write_table(root, FIQA_FILE, FIQA_COLUMNS, fiqa)
    pairs = [
        (text, f"{{'Acme': '{name}', 'Bolt': 'neutral'}}" if i % 2 else f"{{'Acme': '{name}'}}")
        for i, (text, name) in enumerate(make_texts(random))
    ]
    write_table(root, "sentfin/SEntFiN.csv", ("Title", "Decisions"), pairs)
    return root


@pytest.fixture(scope="session")
def mini_data(mini_root: Path) -> LocalFolder:
    """The reader of ``mini_root``."""
    return LocalFolder(mini_root)


def make_texts(random: Random) -> list[tuple[str, str]]:
    """Return 40 (text, label name) per label in random order: the words of its sign, then six drawn ones."""
    texts = [(f"{SIGNS[name]} {' '.join(random.sample(WORDS, 6))}", name) for name in SIGNS for _ in range(40)]
    random.shuffle(texts)
    return texts


def write_phrasebank(root: Path, lines: Sequence[str], strict: dict[str, Sequence[str]] | None = None) -> None:
    """Write ``lines`` as the 50Agree file, and ``strict`` (by All, 75, 66) as the stricter ones: ISO-8859-1, CRLF."""
    folder = root / "labelled" / "financial_phrasebank"
    folder.mkdir(parents=True)
    for level in ("All", "75", "66", "50"):
        held = lines if level == "50" else (strict or {}).get(level, lines[:5])
        content = "".join(f"{line}\r\n" for line in held)
        (folder / f"Sentences_{level}Agree.txt").write_bytes(content.encode("iso-8859-1"))


def write_table(root: Path, file: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write one CSV under ``labelled``."""
    path = root / "labelled" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([columns, *rows])


@pytest.fixture(scope="session")
def corpus_root(mini_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``mini_root`` with 240 unlabelled headlines in CORPUS beside the labelled sets."""
    root = tmp_path_factory.mktemp("corpus")
    (root / "labelled").symlink_to(mini_root / "labelled")
    write_headlines(root / CORPUS, make_headlines(240, Random(5)))
    return root


def make_headlines(count: int, random: Random) -> list[str]:
    """Return ``count`` headlines, most of which name a company."""
    makers = ("Acme Corp", "Bolt", "UPDATE 1-Cobalt", "the maker")
    return [f"{random.choice(makers)} says {' '.join(random.sample(WORDS, 5))}" for _ in range(count)]


def write_headlines(path: Path, headlines: Sequence[str | None]) -> None:
    """Write ``headlines`` as the one column of a Parquet file, its folder made if need be."""
    pyarrow = pytest.importorskip("pyarrow", reason="headlines are Parquet files, which pyarrow reads")
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table({"headline": pyarrow.array(headlines, pyarrow.string())}), path)
