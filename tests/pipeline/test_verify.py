"""``validate`` names whatever is wrong with a store: the file, the line and the ticker of a hand edit among it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import files
from pipeline.lines import digest_lines, name_changes, name_false_digests, name_resaving
from pipeline.store import FeatureStore, SessionToSeal

from .made_session import DAY, NEXT_DAY, REVISION, made_evidence, made_manifest_row, made_rows
from .made_store import (
    FEATURES,
    HEADLINES,
    LINES,
    THIRD_DAY,
    capture_and_seal,
    edit,
    made_restatement,
    read_tree,
)

RESTATED = FEATURES.replace(".csv", ".r2.csv")
MANIFEST = "manifest.csv"
SINCE = "since it was sealed"
CRLF = f"changed {SINCE}: another program has saved it, every line ends with CRLF"


pytestmark = pytest.mark.usefixtures("quick_disk")


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "store")


def name_problems(store: FeatureStore) -> list[str]:
    """Return what verify finds, without the root."""
    return [line.replace(f"{store.root}/", "") for line in store.verify()]


@pytest.mark.parametrize(
    ("path", "old", "new", "problems"),
    [
        (FEATURES, b"-0.075000", b"-0.085000", [f"{FEATURES}: line 2 (AAPL): changed {SINCE}"]),
        (
            FEATURES,
            b"-0.075000",
            b"-7.000000",
            [
                f"{FEATURES}: line 2 (AAPL): changed {SINCE}",
                f"{FEATURES}: line 2, column sentiment_score: -7.000000 is below -1",
            ],
        ),
        (FEATURES, b"news,2026", b"nwes,2026", [
            f"{FEATURES}: line 2 (AAPL): changed", f"{FEATURES}: line 2, column status: 'nwes'",
        ]),
        (FEATURES, b"2026-11-20,MSFT", b"2026-11-20,AAPL", [
            f"{FEATURES}: line 4 (MSFT): changed", f"{FEATURES}: line 4, column",
        ]),
        (FEATURES, b"2026-11-20,MSFT", b"2026-11-19,MSFT", [
            f"{FEATURES}: line 4 (MSFT): changed", f"{FEATURES}: line 4, column session_date, ticker: out of order",
            f"{FEATURES}: rows of 2026-11-19, expected 2026-11-20 only",
        ]),
        (FEATURES, b"\n", b"\r\n", [f"{FEATURES}: line 1: changed", f"{FEATURES}: line 1: written by another program"]),
        (FEATURES, b",buzz,", b",fuzz,", [f"{FEATURES}: line 1: changed", f"{FEATURES}: line 1: the header is not"]),
        (HEADLINES, b"'=Recall", b"=Recall", [
            f"{HEADLINES}: line 4 (AAPL): changed", f"{HEADLINES}: line 4, column title: '=",
        ]),
        (MANIFEST, b",sealed,", b",open,", ["manifest.csv: line 2, column state: 'open' is none of sealed"]),
        ("datapackage.json", b"sentiment", b"excitement", ["datapackage.json: not what the schema"]),
        ("state/feeds.csv", b"etag", b"gate", ["state/feeds.csv: line 1: the header is not that of feeds"]),
        (LINES, b"features,3,BRK.B", b"features,3,BRK.A", [
            f"{LINES}: the digest of line 3 of features is not that of what was sealed",
        ]),
        (LINES, b"headlines,2,", b"headlines,9,", [f"{LINES}: line 8, column table, line: out of order"]),
        (LINES, b"digest", b"digger", [f"{LINES}: line 1: the header is not that of lines"]),
    ],
)  # fmt: skip
def test_verify_names_every_edit(store: FeatureStore, path: str, old: bytes, new: bytes, problems: list[str]) -> None:
    capture_and_seal(store, DAY)
    edit(store.root / path, old, new)
    found = name_problems(store)
    assert len(found) == len(problems)
    for line, expected in zip(found, problems, strict=True):
        assert line.startswith(expected)


def double_last(content: bytes) -> bytes:
    return content + content.splitlines(keepends=True)[-1]


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        (lambda content: content[:-20], ["line 5 (MSFT): changed", "line 5: the file is cut short"]),
        (lambda content: content[:-1], ["line 5 (MSFT): changed", "line 5: the file is cut short"]),
        (double_last, ["line 6 (MSFT): added", "line 6, column"]),
        (lambda content: content.replace(b"Profit rises", b"Profit falls"), ["line 3 (AAPL): changed"]),
        (
            lambda content: content.replace(content.splitlines(keepends=True)[2], b""),
            ["line 3 as sealed (AAPL): removed since"],
        ),
        (
            lambda content: content.replace(b"\n", b"\r\n"),
            [f"{CRLF}; nothing else is different; restore"],
        ),
        (
            lambda content: b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n").replace(b"0.700000", b"0.7"),
            [f"{CRLF}; 3 lines differ besides; restore"],
        ),
        (lambda content: b"", [*[f"line {n} as sealed" for n in range(1, 6)], "line 1: the file is cut short"]),
    ],
)
def test_verify_names_the_lines_that_were_changed_added_or_removed(
    store: FeatureStore, change: Callable[[bytes], bytes], problems: list[str]
) -> None:
    capture_and_seal(store, DAY)
    path = store.root / HEADLINES
    path.write_bytes(change(path.read_bytes()))
    found = name_problems(store)
    assert len(found) == len(problems)
    for line, expected in zip(found, problems, strict=True):
        assert line.startswith(f"{HEADLINES}: {expected}")


def test_a_restatement_is_watched_as_what_it_restates_is(store: FeatureStore) -> None:
    capture_and_seal(store, DAY)
    store.restate(made_restatement())
    edit(store.root / RESTATED, b"-0.480000", b"-0.490000")
    assert name_problems(store) == [f"{RESTATED}: line 2 (AAPL): changed {SINCE}"]


@pytest.mark.parametrize("name", ["removed", "with the file", "with the manifest"])
def test_digests_that_went_too_are_no_excuse(store: FeatureStore, name: str) -> None:
    capture_and_seal(store, DAY)
    sound = (store.root / FEATURES).read_bytes()
    edit(store.root / FEATURES, b"-0.075000", b"-0.085000")
    changed = (store.root / FEATURES).read_bytes()
    if name == "removed":
        (store.root / LINES).unlink()
        expected = [f"{LINES}: missing: without it", f"{FEATURES}: changed {SINCE}: SHA-256"]
    elif name == "with the file":
        old, new = (digest_lines("features", content)[1][3].encode() for content in (sound, changed))
        edit(store.root / LINES, old, new)
        expected = [f"{FEATURES}: changed {SINCE}: SHA-256"]
    else:
        (store.root / FEATURES).write_bytes(sound)
        edit(store.root / MANIFEST, files.compute_sha256(sound).encode(), b"0" * 64)
        expected = [f"{MANIFEST}: line 2 (2026-11-20): changed {SINCE}", f"{FEATURES}: changed {SINCE}: SHA-256"]
    found = name_problems(store)
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True))
    assert ("its line digests agree with it" in found[-1]) == (name != "removed")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b",3,4,", b",2,4,", f"line 3 (2026-11-20): rows is 2, but {RESTATED} has 3 rows"),
        (
            b",3,4,",
            b",3,5,",
            "line 3 (2026-11-20): headline_rows is 5, but headlines/2026/2026-11-20.r2.csv has 4 rows",
        ),
        (
            b"2026-12-22T21:00:00Z",
            b"2026-12-21T21:00:00Z",
            f"line 3 (2026-11-20): available_at is 2026-12-21T21:00:00Z, but {RESTATED} has 2026-12-22T21:00:00Z",
        ),
        (
            REVISION.encode(),
            b"f" * 40,
            f"line 3 (2026-11-20): model_revision is {'f' * 40}, but {RESTATED} has {REVISION}",
        ),
        (
            b'cores",9,1,2',
            b'cores",9,1,3',
            "line 3 (2026-11-20): revision 3 follows revision 1; one between them is missing",
        ),
        (b'cores",9,1,2', b'cores",7,1,2', f"line 3 (2026-11-20): changed {SINCE}"),
        (b"Made-up CPU", b"Other CPU", f"line 3 (2026-11-20): changed {SINCE}"),
        (b",sealed,", b",missed,", "line 3 (2026-11-20): state is missed, but sealed in revision 1; it never changes"),
        (
            b"2026-11-20T21:00:00Z",
            b"2026-11-20T21:00:01Z",
            "line 3 (2026-11-20): cutoff_at is 2026-11-20T21:00:01Z, but 2026-11-20T21:00:00Z in revision 1",
        ),
    ],
)
def test_verify_holds_the_manifest_s_line_against_its_neighbours_and_files(
    store: FeatureStore, old: bytes, new: bytes, problem: str
) -> None:
    capture_and_seal(store, DAY, NEXT_DAY)
    store.restate(made_restatement())
    lines = (store.root / MANIFEST).read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(old, new)
    (store.root / MANIFEST).write_bytes(b"".join(lines))
    assert f"manifest.csv: {problem}" in "\n".join(name_problems(store))


def test_verify_names_a_session_that_is_missing_between_two(store: FeatureStore) -> None:
    capture_and_seal(store, DAY, NEXT_DAY, THIRD_DAY)
    path = store.root / MANIFEST
    path.write_bytes(
        b"".join(line for line in path.read_bytes().splitlines(keepends=True) if b"2026-11-23," not in line)
    )
    store.create()
    found = name_problems(store)
    assert found[0].startswith(
        "manifest.csv: line 3 (2026-11-24): opens after 2026-11-23T21:00:00Z, but the session before, 2026-11-20, ends "
        "at 2026-11-20T21:00:00Z: a session between them is missing"
    )
    assert [line.partition(": not in manifest.csv")[0] for line in found[1:]] == [
        "features/2026/2026-11-23.csv", "state/lines/2026/2026-11-23.csv",
    ]  # fmt: skip


def test_a_missed_session_has_no_silence(store: FeatureStore) -> None:
    rows = made_rows(status=["news", "no_news", "news"]).assign(
        **{name: made_rows()[name].fillna(0) for name in made_rows().columns if name.endswith("_count")}
    )
    store.seal_all([SessionToSeal(rows, made_evidence(), made_manifest_row(state="missed"))])
    assert name_problems(store) == [
        f"manifest.csv: line 2 (2026-11-20): state is missed, but {FEATURES} has no_news: silence about a missed "
        "session is unknown"
    ]


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        (FEATURES, "missing, though its session is sealed"),
        (HEADLINES, "missing, though its session is sealed"),
        (LINES, "missing: without it a changed line of the session cannot be named"),
        ("manifest.csv", "missing; every store has one"),
        ("datapackage.json", "missing"),
        ("state/feeds.csv", "missing"),
    ],
)
def test_verify_names_a_missing_file(store: FeatureStore, path: str, problem: str) -> None:
    capture_and_seal(store, DAY)
    (store.root / path).unlink()
    found = store.verify()
    assert len(found) == 1
    assert found[0].startswith(f"{store.root / path}: {problem}")


def test_verify_names_files_that_belong_nowhere(store: FeatureStore) -> None:
    capture_and_seal(store, DAY)
    strays = [
        "features/2025/2026-11-20.csv",
        "features/2026/2026-11-20.r1.csv",
        "features/notes.txt",
        "headlines/2026/today.csv",
        "state/lines/2026/2026-11-20.r02.csv",
    ]
    for stray in strays:
        (store.root / stray).parent.mkdir(exist_ok=True)
        (store.root / stray).write_text("x")
    assert [line.partition(": belongs nowhere")[0] for line in store.verify()] == [f"{store.root}/{s}" for s in strays]
    assert store.captured_dates() == {DAY}


def test_verify_names_what_an_interrupted_restatement_left(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture_and_seal(store, DAY)
    before = read_tree(store.root)[MANIFEST]
    store.restate(made_restatement())
    (store.root / MANIFEST).write_bytes(before)
    store.create()
    left = [name.replace(".csv", ".r2.csv") for name in (FEATURES, HEADLINES, LINES)]
    assert name_problems(store) == [
        f"{name}: not in manifest.csv: its sealing was interrupted and will be done again" for name in left
    ]


ROWS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=12).map(
    lambda values: [f"2026-11-20,T{n},{value}\n".encode() for n, value in enumerate(values)]
)


@settings(max_examples=60, deadline=None)
@given(ROWS, ROWS)
def test_lines_are_named_exactly_when_one_differs(sealed: list[bytes], now: list[bytes]) -> None:
    digests = digest_lines("features", b"".join(sealed))
    content = b"".join(now)
    assert bool(name_changes(digests, content)) == (sealed != now)
    assert bool(name_false_digests("features", digests, content)) == (sealed != now)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.data())
def test_one_changed_line_is_the_one_that_is_named(sealed: list[bytes], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(sealed) - 1))
    now = [*sealed[:place], sealed[place].upper().replace(b"\n", b"!\n"), *sealed[place + 1 :]]
    found = name_changes(digest_lines("features", b"".join(sealed)), b"".join(now))
    assert found == [f"line {place + 1} (T{place}): changed since it was sealed"]


def test_many_changes_are_a_few_lines_and_a_count() -> None:
    sealed = b"".join(b"2026-11-20,T%d,x\n" % n for n in range(40))
    found = name_changes(digest_lines("features", sealed), sealed.replace(b",T1", b",U1"))
    assert found[0] == "line 2 (T1): changed since it was sealed"
    assert len(found) == 6
    assert found[-1] == "6 more lines changed, added or removed since it was sealed"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace(",", ";"), "no row is as it was"),
        (lambda text: text.replace("\n", "\r\n"), "every line ends with CRLF; nothing else is different"),
        (lambda text: text.replace("\n", "\r\n").replace("0.5", "0,5"), "every line ends with CRLF; 8 lines differ"),
        (lambda text: text.replace("T3", "T9"), ""),
        (lambda text: text, ""),
    ],
)
def test_a_file_that_a_spreadsheet_saved_is_told_in_one_line(change: Callable[[str], str], words: str) -> None:
    text = "session_date,ticker,score\n" + "".join(f"2026-11-20,T{n},0.5\n" for n in range(8))
    found = name_resaving(digest_lines("features", text.encode()), change(text).encode())
    assert words in found
    assert bool(found) == bool(words)
