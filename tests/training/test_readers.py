"""The same rows come from a local folder and from the Hub, at pinned revisions; every fault is one line."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.hub_server import Fault, HubServer
from training import readers
from training.data import SOURCES, describe_data, load_examples
from training.readers import DATASETS, DataError, Hub, LocalFolder, load_published, open_data

from .conftest import FIQA_COLUMNS, FIQA_FILE, write_phrasebank, write_table

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
pytest.importorskip("datasets", reason="datasets is not installed")
import pyarrow as pa  # noqa: E402


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub on this machine, and both clients' caches in ``tmp_path``."""
    import datasets
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", tmp_path / "downloads")
    datasets.disable_progress_bars()
    with HubServer() as server:
        yield server
    datasets.enable_progress_bars()


def publish(hub: HubServer, root: Path, folder: Path) -> Path:
    """Publish the sets under ``root`` as their publishers do, and return a table that reads SEntFiN from here too.

    A loading script lies beside PhraseBank's archive, as on the Hub: running it would end the test. FiQA's rows are
    shuffled, its score is a number, and Twitter's label is one.
    """
    labelled, published = root / "labelled", load_published()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        for path in sorted((labelled / "financial_phrasebank").glob("Sentences_*.txt")):
            files.writestr(f"FinancialPhraseBank-v1.0/{path.name}", path.read_bytes())
    content: dict[str, dict[str, bytes]] = {
        "phrasebank": {
            "financial_phrasebank.py": b"raise SystemExit('remote code was run')",
            "data/FinancialPhraseBank-v1.0.zip": archive.getvalue(),
        },
        "twitter": {name: (labelled / "twitter_financial_news" / name).read_bytes() for name in TWITTER},
        "fiqa": {file: make_fiqa(labelled, part) for part, file in published["fiqa"].files.items()},
        "sentfin": {"SEntFiN.csv": (labelled / "sentfin" / "SEntFiN.csv").read_bytes()},
    }
    for source, files_of in content.items():
        name = published[source].origin if published[source].is_on_hub else "authors/sentfin"
        hub.add(name, files_of, kind="dataset", revision=published[source].revision)
    table = folder / "datasets.toml"
    address = f"{hub.url}/datasets/authors/sentfin/resolve"
    table.write_text(DATASETS.read_text().replace(published["sentfin"].origin, address))
    return table


TWITTER = ("sent_train.csv", "sent_valid.csv")


def make_fiqa(labelled: Path, part: str) -> bytes:
    with (labelled / "fiqa_2018_task1" / "fiqa_task1_flat.csv").open(encoding="utf-8", newline="") as stream:
        rows: list[dict[str, Any]] = [row for row in csv.DictReader(stream) if row.pop("hf_split") == part]
    Random(5).shuffle(rows)
    columns = {name: [row[name] for row in rows] for name in ("_id", "sentence", "target", "aspect", "type")}
    content = io.BytesIO()
    pq.write_table(pa.table({**columns, "score": [float(row["score"]) for row in rows]}), content)
    return content.getvalue()


@pytest.fixture
def odd_root(mini_root: Path, tmp_path: Path) -> Path:
    """A small folder with what breaks readers: \\x85, line breaks and quotes inside cells, "NA" as a text."""
    root = tmp_path / "odd"
    lines = ["Profit rose at Mäkelä\x85 ends .@positive", "Mail a@b .@neutral", 'He said "no" .@negative']
    write_phrasebank(root, lines, {"All": lines[:1], "75": lines[:2], "66": lines[:2]})
    tweets = [("NA", "2"), ("null", "0"), ('two\nlines, "quoted"\r\nhere', "1"), ("a\u2028b \x85 c", "2")]
    for name in TWITTER:
        write_table(root, f"twitter_financial_news/{name}", ("text", "label"), tweets)
    for file in ("fiqa_2018_task1/fiqa_task1_flat.csv",):
        (root / "labelled" / file).parent.mkdir()
        (root / "labelled" / file).write_bytes((mini_root / "labelled" / file).read_bytes())
    pairs = [("1", "None, it is", "{'Dan's Deli': 'negative'}"), ("2", "NA", "{'NA': 'neutral', 'X': 'positive'}")]
    write_table(root, "sentfin/SEntFiN.csv", ("S No.", "Title", "Decisions"), pairs)
    return root


@pytest.mark.parametrize("name", ["mini_root", "odd_root"])
def test_both_readers_give_the_same_rows(
    name: str, hub: HubServer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = request.getfixturevalue(name)
    local, remote = LocalFolder(root), Hub(hub.url, publish(hub, root, tmp_path))
    examples = load_examples(remote)
    assert examples == load_examples(local)
    there, here = describe_data(remote, examples), describe_data(local, examples)
    assert {s: there[s]["sha256"] for s in SOURCES} == {s: here[s]["sha256"] for s in SOURCES}
    assert {s: there[s]["revision"] for s in SOURCES} == {s: p.revision for s, p in load_published().items()}


def test_the_real_sets_are_the_same_from_the_hub(data_dir: Path, hub: HubServer, tmp_path: Path) -> None:
    examples = load_examples(Hub(hub.url, publish(hub, data_dir, tmp_path)))
    assert examples == load_examples(LocalFolder(data_dir))


def test_the_hub_is_asked_for_pinned_revisions_only_and_once(hub: HubServer, mini_root: Path, tmp_path: Path) -> None:
    data = Hub(hub.url, publish(hub, mini_root, tmp_path))
    load_examples(data)
    revisions = {published.revision for published in load_published().values()}
    asked = [request.path for request in hub.requests if request.stage == "resolve"]
    assert asked
    assert all(any(f"/resolve/{revision}/" in path for revision in revisions) for path in asked)
    hub.requests.clear()
    load_examples(data, ("phrasebank", "twitter", "fiqa"))
    assert hub.requests == []


@pytest.mark.parametrize("names", [("Bearish", "Bullish", "Neutral"), ("neutral", "bullish", "bearish")])
def test_a_class_label_is_read_by_name(hub: HubServer, tmp_path: Path, names: tuple[str, ...]) -> None:
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=list(names))})
    content = io.BytesIO()
    datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 1, 2]}, features=features).to_parquet(content)
    published = load_published()["twitter"]
    hub.add(
        published.origin, {f: content.getvalue() for f in ("t.parquet", "v.parquet")}, "dataset", published.revision
    )
    table = tmp_path / "datasets.toml"
    text = DATASETS.read_text().replace("sent_train.csv", "t.parquet").replace("sent_valid.csv", "v.parquet")
    table.write_text(text.replace('format = "csv"', 'format = "parquet"'))
    expected = {"bearish": 0, "neutral": 1, "bullish": 2}
    examples = load_examples(Hub(hub.url, table), ("twitter",))
    assert [example.label for example in examples[:3]] == [expected[name.lower()] for name in names]


def lack_revision(hub: HubServer) -> None:
    hub.add("zeroshot/twitter-financial-news-sentiment", {"sent_train.csv": b"text,label\n"}, "dataset", "0" * 40)


def lack_file(hub: HubServer) -> None:
    published = load_published()["twitter"]
    hub.add(published.origin, {"other.csv": b""}, "dataset", published.revision)


def lack_column(hub: HubServer) -> None:
    published = load_published()["twitter"]
    hub.add(published.origin, dict.fromkeys(TWITTER, b"text,mood\nhm,1\n"), "dataset", published.revision)


def lack_member(hub: HubServer) -> None:
    published, content = load_published()["phrasebank"], io.BytesIO()
    with zipfile.ZipFile(content, "w") as files:
        files.writestr("other.txt", "hm")
    hub.add(published.origin, {"data/FinancialPhraseBank-v1.0.zip": content.getvalue()}, "dataset", published.revision)


def damage_archive(hub: HubServer) -> None:
    published = load_published()["phrasebank"]
    hub.add(published.origin, {"data/FinancialPhraseBank-v1.0.zip": b"not a zip"}, "dataset", published.revision)


def damage_parquet(hub: HubServer) -> None:
    published = load_published()["fiqa"]
    hub.add(published.origin, dict.fromkeys(published.files.values(), b"PAR1 no"), "dataset", published.revision)


def refuse_reader(hub: HubServer) -> None:
    hub.fail("resolve", Fault(403), Fault(403))


@pytest.mark.parametrize(
    ("source", "spoil", "message"),
    [
        ("twitter", lack_revision, r"zeroshot/twitter-financial-news-sentiment at ccbe24de388e, sent_train.csv"),
        ("twitter", lack_file, r"at ccbe24de388e, sent_train.csv: cannot be read: 404"),
        ("twitter", lack_column, r"at ccbe24de388e, sent_train.csv: column label missing; expected text, label"),
        ("twitter", refuse_reader, r"at ccbe24de388e, sent_train.csv: cannot be read: .*403"),
        ("phrasebank", lack_member, r"takala/financial_phrasebank at 8d3fe0c36d5f, .*AllAgree.txt: cannot be read"),
        ("phrasebank", damage_archive, r"takala/financial_phrasebank at 8d3fe0c36d5f, .*cannot be read"),
        ("fiqa", damage_parquet, r"TheFinAI/fiqa-sentiment-classification at b669064ceb40, .*cannot be read"),
        ("sentfin", lack_file, r"sentfin/resolve at 84c747fcacea, SEntFiN.csv: cannot be read"),
    ],
)
def test_a_fault_of_the_hub_is_one_line_with_set_and_revision(
    source: str, spoil: Callable[[HubServer], None], message: str, hub: HubServer, tmp_path: Path
) -> None:
    table = tmp_path / "datasets.toml"
    table.write_text(DATASETS.read_text().replace(
        load_published()["sentfin"].origin, f"{hub.url}/datasets/authors/sentfin/resolve"
    ))  # fmt: skip
    spoil(hub)
    with pytest.raises(DataError, match=message) as caught:
        load_examples(Hub(hub.url, table), (source,))
    assert "\n" not in str(caught.value)


def test_a_server_out_of_reach_is_one_line(tmp_path: Path) -> None:
    with HubServer() as closed:
        address = closed.url
    table = tmp_path / "datasets.toml"
    table.write_text(DATASETS.read_text().replace(load_published()["sentfin"].origin, address))
    with pytest.raises(DataError, match=rf"{address} at 84c747fcacea, SEntFiN.csv: cannot be read"):
        load_examples(Hub(None, table), ("sentfin",))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "ccbe24de388e287beb92dd393a335c376b350ac3",
            "main",
            r"twitter.revision is 'main'; expected a commit of 40 hex",
        ),
        ("ccbe24de388e287beb92dd393a335c376b350ac3", "CCBE24" * 6, r"twitter.revision is 'CCBE24.*; expected a commit"),
        ('"csv"', '"python"', r"twitter.format is 'python'; expected one of csv, parquet, text"),
        ("zeroshot/", "", r"twitter.origin is 'twitter-financial-news-sentiment'; expected a Hub id"),
        ('validation = "', 'test = "', r"twitter.files is .*; expected train, validation"),
        ("[fiqa]", "[fica]", r"fiqa is .*; expected a table of files, format, origin, revision"),
        ("[fiqa]", "[fiqa", r"cannot be read"),
    ],
)
def test_a_malformed_table_is_refused_by_key(before: str, after: str, message: str, tmp_path: Path) -> None:
    table = tmp_path / "datasets.toml"
    assert before in DATASETS.read_text()
    table.write_text(DATASETS.read_text().replace(before, after))
    with pytest.raises(DataError, match=message):
        Hub(table=table)


def test_local_files_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder labelled/ inside; set FINANCIAL_SENTIMENT_DATA"):
        LocalFolder(tmp_path)
    write_table(tmp_path, "twitter_financial_news/sent_train.csv", ("text", "mood"), [("hm", "1")])
    write_table(tmp_path, "twitter_financial_news/sent_valid.csv", ("text", "label"), [("hm",)])
    data = LocalFolder(tmp_path)
    with pytest.raises(DataError, match=r"data file missing: .*SEntFiN.csv"):
        list(data.read_rows("sentfin", "all"))
    with pytest.raises(DataError, match=r"sent_train.csv: column label missing; expected text, label"):
        list(data.read_rows("twitter", "train"))
    with pytest.raises(DataError, match=r"sent_valid.csv row 1: fewer cells than columns"):
        list(data.read_rows("twitter", "validation"))


FIQA_ROW = ("1", "hm", "", "", "0", "post")
HEADER = b"text,label\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER + b"fine,1\ncaf\xe9,1\n", r"sent_train.csv, at or after row 1: cannot be read as UTF-8 CSV: .*0xe9"),
        (HEADER + b'fine,1\n"open,1\n' + b"on,1\n" * 30_000, r"at or after row 2: .*(field limit|unexpected end)"),
        (HEADER + b'fine,1\n"open,1\nlost,0\n', r"at or after row 2: cannot be read as UTF-8 CSV: unexpected end"),
    ],
    ids=["latin-1", "long cell", "unclosed quote"],
)
def test_a_file_that_is_no_utf_8_csv_is_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    write_table(tmp_path, "twitter_financial_news/sent_train.csv", ("text", "label"), [])
    (tmp_path / "labelled" / "twitter_financial_news" / "sent_train.csv").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        list(LocalFolder(tmp_path).read_rows("twitter", "train"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("split", ["Train", "", "validation"])
def test_a_fiqa_row_of_no_known_split_is_refused_not_lost(split: str, tmp_path: Path) -> None:
    write_table(tmp_path, FIQA_FILE, FIQA_COLUMNS, [(*FIQA_ROW, "train"), (*FIQA_ROW, split)])
    with pytest.raises(DataError, match=f"row 2: hf_split '{split}'; expected one of train, valid, test"):
        list(LocalFolder(tmp_path).read_rows("fiqa", "test"))


def test_the_environment_then_the_folder_beside_then_the_hub(
    mini_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "DEFAULT_ROOT", tmp_path / "absent")
    assert isinstance(open_data({}), Hub)
    assert isinstance(open_data({"FINANCIAL_SENTIMENT_DATA": str(mini_root)}), LocalFolder)
    with pytest.raises(DataError, match=f"{tmp_path}: no folder labelled/"):
        open_data({"FINANCIAL_SENTIMENT_DATA": str(tmp_path)})
    monkeypatch.setattr(readers, "DEFAULT_ROOT", mini_root)
    assert isinstance(open_data({}), LocalFolder)


def test_a_local_folder_needs_neither_datasets_nor_the_hubs_client(mini_root: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from training.data import load_examples\n"
        "from training.readers import LocalFolder\n"
        "load_examples(LocalFolder(Path(sys.argv[1])))\n"
        "sys.exit(bool({'datasets', 'huggingface_hub', 'torch', 'sklearn'} & set(sys.modules)))"
    )
    project = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code, str(mini_root)], cwd=project, check=True)
