"""Where the labelled sets come from: a local folder, or the Hub at pinned revisions. The same rows either way.

A reader yields rows as they were published, every cell as text, and never relabels. No code of a dataset
repository is ever run: only its data files are read.
"""

from __future__ import annotations

import csv
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile

from pipeline.errors import PipelineError

ENVIRONMENT = "FINANCIAL_SENTIMENT_DATA"
DEFAULT_ROOT = Path(__file__).resolve().parents[2] / "shared" / "data"
DATASETS = Path(__file__).parent / "datasets.toml"
FORMATS: dict[str, dict[str, Any]] = {
    "csv": {"keep_default_na": False},  # a headline may read "NA" or "null"
    "parquet": {},
    "text": {"encoding": "iso-8859-1"},
}
"""How ``datasets`` is told to read each format."""

COLUMNS = {
    "phrasebank": ("text",),
    "twitter": ("text", "label"),
    "fiqa": ("_id", "sentence", "target", "aspect", "score", "type"),
    "sentfin": ("Title", "Decisions"),
}
"""The columns read of every source; a line of PhraseBank's text files is one cell, ``text``."""
LOCAL_FILES = {
    "phrasebank": {
        "all": "financial_phrasebank/Sentences_AllAgree.txt",
        "75": "financial_phrasebank/Sentences_75Agree.txt",
        "66": "financial_phrasebank/Sentences_66Agree.txt",
        "50": "financial_phrasebank/Sentences_50Agree.txt",
    },
    "twitter": {
        "train": "twitter_financial_news/sent_train.csv",
        "validation": "twitter_financial_news/sent_valid.csv",
    },
    "fiqa": dict.fromkeys(("train", "valid", "test"), "fiqa_2018_task1/fiqa_task1_flat.csv"),
    "sentfin": {"all": "sentfin/SEntFiN.csv"},
}
PARTS = {source: tuple(files) for source, files in LOCAL_FILES.items()}
"""The published files of every source, by the name of their part."""


class DataError(PipelineError):
    """A labelled set is missing or out of reach, or a row of it cannot be read."""


class DataSource(Protocol):
    """What the loaders read from."""

    def read_rows(self, source: str, part: str) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield (place, row) of one of PARTS in published order; ``place`` names file and row, numbered from 1.

        Raises:
            DataError: the file is absent, out of reach or malformed, or lacks a column of COLUMNS.
        """

    def describe_origin(self, source: str) -> dict[str, str]:
        """Return {"origin", "revision"} of ``source``; the revision is "" where nothing pins it."""

    def find_file(self, name: str) -> Path:
        """Return where the file ``name`` of the data folder, such as a corpus of headlines, lies on this machine.

        Raises:
            DataError: it is absent, or the rows come from the Hub, which has no such folder.
        """


def open_data(environment: Mapping[str, str] = os.environ) -> DataSource:
    """Return the folder FINANCIAL_SENTIMENT_DATA names, else ``../shared/data`` where it exists, else the Hub.

    Raises:
        DataError: the folder named has no ``labelled`` inside.
    """
    if environment.get(ENVIRONMENT):
        return LocalFolder(Path(environment[ENVIRONMENT]))
    return LocalFolder(DEFAULT_ROOT) if (DEFAULT_ROOT / "labelled").is_dir() else Hub()


class LocalFolder:
    """The files under ``root/labelled``, in the layout of LOCAL_FILES."""

    def __init__(self, root: Path) -> None:
        if not (root / "labelled").is_dir():
            raise DataError(f"{root}: no folder labelled/ inside; set {ENVIRONMENT} to the data folder that holds it")
        self._root, self._folder = root, root / "labelled"

    def read_rows(self, source: str, part: str) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield (place, row); see :class:`DataSource`."""
        file = LOCAL_FILES[source][part]
        path = self._folder / file
        if not path.is_file():
            raise DataError(f"data file missing: {path}")
        if source == "phrasebank":
            yield from _read_lines(path, file)
        elif source == "fiqa":
            rows = _read_csv(path, file, (*COLUMNS[source], "hf_split"))
            yield from ((place, row) for place, row in rows if _check_split(row["hf_split"], place) == part)
        else:
            yield from _read_csv(path, file, COLUMNS[source])

    def describe_origin(self, source: str) -> dict[str, str]:
        """Return where ``source`` was read; a copy at hand has no revision."""
        file = next(iter(LOCAL_FILES[source].values()))
        return {"origin": f"local copy, labelled/{file.split('/')[0]}", "revision": ""}

    def find_file(self, name: str) -> Path:
        """Return the path of ``name``; see :class:`DataSource`."""
        path = self._root / name
        if not path.is_file():
            raise DataError(f"data file missing: {path}")
        return path


@dataclass(frozen=True, slots=True)
class Published:
    """One set as published: a Hub id or an https root, a 40-hex revision, and its files by part."""

    origin: str
    revision: str
    format: str
    files: dict[str, str]

    @property
    def is_on_hub(self) -> bool:
        """False for a set that is read from its authors' own https repository."""
        return "://" not in self.origin


class Hub:
    """The published sets at the revisions of datasets.toml, fetched by huggingface_hub and read by ``datasets``.

    ``endpoint`` replaces the Hub's address; by default huggingface_hub decides (HF_ENDPOINT). A file in the
    Hub's cache is not fetched again; a set outside the Hub always asks its server.
    """

    def __init__(self, endpoint: str | None = None, table: Path = DATASETS) -> None:
        self._endpoint = endpoint
        self._sets = load_published(table)

    def read_rows(self, source: str, part: str) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield (place, row); see :class:`DataSource`."""
        published = self._sets[source]
        file, _, member = published.files[part].partition("::")
        place = f"{published.origin} at {published.revision[:12]}, {member or file}"
        table = self._read_table(published, file, member, place)
        missing = [column for column in COLUMNS[source] if column not in table.column_names]
        if missing:
            raise DataError(f"{place}: column {', '.join(missing)} missing; expected {', '.join(COLUMNS[source])}")
        for number, row in enumerate(table, 1):
            yield f"{place} row {number}", {name: _to_text(row[name], table.features[name]) for name in COLUMNS[source]}

    def describe_origin(self, source: str) -> dict[str, str]:
        """Return the pinned id and revision of ``source``."""
        return {"origin": self._sets[source].origin, "revision": self._sets[source].revision}

    def find_file(self, name: str) -> Path:
        """Refuse; see :class:`DataSource`."""
        raise DataError(f"{name}: unlabelled headlines are read from a folder; set {ENVIRONMENT} to one that holds it")

    def _read_table(self, published: Published, file: str, member: str, place: str) -> Any:
        """Return the ``datasets.Dataset`` of one file; every fault of network, Hub or format is one DataError."""
        from aiohttp import ClientError
        from datasets import load_dataset
        from datasets.exceptions import DatasetsError
        from huggingface_hub.errors import HfHubHTTPError

        try:
            path = self._fetch_file(published, file)
            path = f"zip://{member}::{path}" if member else path
            return load_dataset(published.format, data_files=path, split="train", **FORMATS[published.format])
        except (OSError, ValueError, DatasetsError, HfHubHTTPError, ClientError, BadZipFile) as error:
            cause = error.__cause__ or error  # the clients' own messages say less than what they hide
            reason = " ".join(str(cause).split()) or type(cause).__name__
            raise DataError(f"{place}: cannot be read: {reason}") from error

    def _fetch_file(self, published: Published, file: str) -> str:
        from huggingface_hub import hf_hub_download

        if not published.is_on_hub:
            return f"{published.origin}/{published.revision}/{file}"
        return hf_hub_download(
            published.origin, file, repo_type="dataset", revision=published.revision, endpoint=self._endpoint
        )


def load_published(path: Path = DATASETS) -> dict[str, Published]:
    """Read and check the table of published sets.

    Raises:
        DataError: one line naming file and key: a source or part is missing, a revision is no 40-hex commit.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    return {source: _check_published(path, source, table.get(source)) for source in PARTS}


def _check_published(path: Path, source: str, found: Any) -> Published:
    keys = {"origin", "revision", "format", "files"}
    if not isinstance(found, dict) or set(found) != keys:
        raise DataError(f"{path}: {source} is {found!r}; expected a table of {', '.join(sorted(keys))}")
    if not re.fullmatch(r"[0-9a-f]{40}", str(found["revision"])):
        raise DataError(
            f"{path}: {source}.revision is {found['revision']!r}; expected a commit of 40 hex digits, never a branch"
        )
    if not re.fullmatch(r"[\w.-]+/[\w.-]+|https?://\S+", str(found["origin"])):
        raise DataError(f"{path}: {source}.origin is {found['origin']!r}; expected a Hub id OWNER/NAME or an address")
    if found["format"] not in FORMATS:
        raise DataError(f"{path}: {source}.format is {found['format']!r}; expected one of {', '.join(FORMATS)}")
    if not isinstance(found["files"], dict) or set(found["files"]) != set(PARTS[source]):
        raise DataError(f"{path}: {source}.files is {found['files']!r}; expected {', '.join(PARTS[source])}")
    return Published(**found)


def _to_text(value: Any, feature: Any) -> str:
    """Return a cell as text: a class by its name, never its number; "" for a missing one."""
    if value is None:
        return ""
    return feature.int2str(value) if hasattr(feature, "int2str") else str(value)


def _read_lines(path: Path, file: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield lines of an ISO-8859-1 file; str.splitlines would also split on its \\x85."""
    with path.open(encoding="iso-8859-1") as stream:
        for number, line in enumerate(stream, 1):
            yield f"{file} row {number}", {"text": line.rstrip("\n")}


def _read_csv(path: Path, file: str, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the ``columns`` of every record. Tweets hold line breaks inside quotes, so records are not lines."""
    number = 0
    with path.open(encoding="utf-8", newline="") as stream:
        try:
            reader = csv.DictReader(stream, strict=True)  # else an unclosed quote swallows the rows after it
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{file}: column {', '.join(missing)} missing; expected {', '.join(columns)}")
            for number, row in enumerate(reader, 1):
                if any(row[column] is None for column in columns):
                    raise DataError(f"{file} row {number}: fewer cells than columns")
                yield f"{file} row {number}", {column: row[column] for column in columns}
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{file}, at or after row {number + 1}: cannot be read as UTF-8 CSV: {error}") from error


def _check_split(found: str, place: str) -> str:
    if found not in PARTS["fiqa"]:
        raise DataError(f"{place}: hf_split {found!r}; expected one of {', '.join(PARTS['fiqa'])}")
    return found
