"""No row knows what came after it was sealed, and the same captures give the same bytes, however they are run.

The line is the real one; feeds are documents made up here, and the clock stands at the tick that is run. A tick is one
scheduled run: what each feed answers then, and which of them fail.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipeline.errors import RefusedDayError
from pipeline.line import Line
from pipeline.records import Feed, FeedState, FetchResult
from pipeline.run import capture, run_daily, seal
from pipeline.sessions import Sessions
from pipeline.store import FeatureStore
from pipeline.verify import find_problems

from ..daily_line import COMPANIES, new_report, open_line

PROJECT = Path(__file__).parents[2]
NEW_YORK = ZoneInfo("America/New_York")
CALENDAR = Sessions("XNYS", 0, date(2024, 12, 1), date(2026, 2, 1))
FEEDS = (
    *(Feed(f"wire:{company.ticker}", "Wire", f"https://wire.example/{company.ticker}", company.ticker)
      for company in COMPANIES[:3]),
    Feed("all", "Everything", "https://all.example/rss"),
)  # fmt: skip
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SHOWN_FOR = 3 * DAY
"""How long a feed shows an item."""

BEFORE = datetime(2025, 11, 25, 21, 30, tzinfo=UTC)
TICKS = [
    datetime(2025, 11, day, hour, minute, tzinfo=UTC)
    for day, hour, minute in ((26, 15, 0), (26, 21, 30), (28, 17, 0), (28, 18, 30), (30, 15, 0))
]
"""Around Thanksgiving 2025: a full session, a holiday, a half day (closes at 18:00 UTC), a Sunday."""


@dataclass(frozen=True)
class Item:
    """One item of one feed; ``date_text`` as the feed writes it, "" for none."""

    feed_id: str
    guid: str
    title: str
    date_text: str
    shown_at: datetime


@dataclass(frozen=True)
class Tick:
    """One scheduled run: the document of every feed at ``at``; a feed that fails has none."""

    at: datetime
    documents: Mapping[str, bytes]


def list_tick(items: Sequence[Item], at: datetime, failing: Sequence[str] = ()) -> Tick:
    """Return what the feeds show at ``at``: their items of the last days, in the order of ``items``."""
    shown = [item for item in items if item.shown_at <= at < item.shown_at + SHOWN_FOR]
    by_feed = {feed.feed_id: [item for item in shown if item.feed_id == feed.feed_id] for feed in FEEDS}
    return Tick(at, {feed_id: write_feed(found) for feed_id, found in by_feed.items() if feed_id not in failing})


def write_feed(items: Sequence[Item]) -> bytes:
    body = "".join(
        f"<item><title>{escape(item.title)}</title><guid isPermaLink='false'>{item.guid}</guid>"
        f"<link>https://news.example/{item.guid}</link>"
        + (f"<pubDate>{item.date_text}</pubDate>" if item.date_text else "")
        + "</item>"
        for item in items
    )
    return f'<rss version="2.0"><channel><title>Test</title>{body}</channel></rss>'.encode()


def answer(tick: Tick, feed: Feed, state: FeedState | None, is_conditional: bool) -> FetchResult:
    """Return a feed's answer; "not modified" if the line has asked so and holds the same document."""
    body = tick.documents.get(feed.feed_id)
    if body is None:
        return FetchResult(feed, tick.at, "failed", http_status=503, fault="HTTP 503")
    etag = f'"{hashlib.md5(body).hexdigest()}"'
    if is_conditional and state is not None and state.etag == etag:
        return FetchResult(feed, tick.at, "not_modified", http_status=304, etag=etag)
    return FetchResult(feed, tick.at, "ok", body, "application/rss+xml", 200, etag)


def open_at(store: Path, tick: Tick, feeds: Sequence[Feed] = FEEDS, is_conditional: bool = True) -> Line:
    """Return a line opened anew, as every scheduled run opens one, whose clock and feeds stand at ``tick``."""

    def fetch(feeds: Sequence[Feed], states: Mapping[str, FeedState]) -> list[FetchResult]:
        return [answer(tick, feed, states.get(feed.feed_id), is_conditional) for feed in feeds]

    return replace(open_line(store, feeds, tick.at), sessions=CALENDAR, fetch=fetch)


def run_tick(store: Path, tick: Tick, feeds: Sequence[Feed] = FEEDS) -> None:
    """Run the daily line once; a refused run writes nothing, and the next one goes on."""
    with suppress(RefusedDayError):
        run_daily(open_at(store, tick, feeds), new_report())


def files_of(store: Path) -> dict[str, bytes]:
    """Return every file but hidden ones, which a killed write leaves and nothing reads."""
    paths = (path for path in sorted(store.rglob("*")) if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(store)): path.read_bytes() for path in paths}


def sealed_files(store: Path) -> dict[str, bytes]:
    """Return the files of the sealed sessions, and their lines of the manifest."""
    days = {str(day) for day in FeatureStore(store).sealed_dates()}
    lines = (store / "manifest.csv").read_bytes().splitlines() if days else []
    files = {path: body for path, body in files_of(store).items() if path[-14:-4] in days}
    return files | {f"manifest.csv {line[:10].decode()}": line for line in lines[1:]}


@contextmanager
def new_stores(count: int) -> Iterator[list[Path]]:
    """Give empty stores to one example of a property test."""
    with tempfile.TemporaryDirectory() as folder:
        yield [Path(folder) / str(number) for number in range(count)]


# Made-up feeds: few names, objects and guids, so that repeats, near-duplicates and changed titles are common.

TITLES = [
    f"{name} {verb} {what}"
    for name in ("Apple", "Microsoft", "Apple and Microsoft", "Berkshire Hathaway", "Harbour seals")
    for verb in ("beats", "misses", "expects")
    for what in ("estimates", "estimates again", "estimates of phone sales", "a strong quarter")
]
MOMENTS = st.integers(-30 * 60, 130 * 60).map(lambda minutes: BEFORE + timedelta(minutes=minutes))
DATES = st.one_of(
    MOMENTS.map(format_datetime), st.sampled_from(["", "yesterday", "Fri, 28 Nov 2025", "2031-01-01T00:00Z"])
)
FEED_IDS = st.sampled_from([feed.feed_id for feed in FEEDS])


def items_shown(
    moments: Sequence[datetime], guids: st.SearchStrategy[str], max_size: int
) -> st.SearchStrategy[list[Item]]:
    """Return lists of items that their feeds begin to show at one of ``moments``."""
    return st.lists(
        st.builds(Item, FEED_IDS, guids, st.sampled_from(TITLES), DATES, st.sampled_from(moments)), max_size=max_size
    )


FEW_GUIDS = st.integers(0, 9).map(str)
GROUND = [
    Item(
        "all",
        f"ground {n}",
        f"Nvidia is in the news, part {n}",
        format_datetime(BEFORE + n * 8 * HOUR),
        BEFORE + n * 8 * HOUR,
    )
    for n in range(12)
]
"""News in every window: a session without any headline is refused."""

quick = settings(
    max_examples=8, deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=[HealthCheck.too_slow]
)
"""An example takes a second: shrinking one would take minutes."""


@quick
@given(
    items_shown(TICKS[:2], FEW_GUIDS, 8),
    items_shown(TICKS[2:], FEW_GUIDS, 8),
    items_shown(TICKS[2:], FEW_GUIDS, 8),
    st.lists(FEED_IDS, max_size=2),
)
def test_worlds_that_differ_after_a_moment_agree_on_every_session_sealed_until_then(
    past: list[Item], one: list[Item], other: list[Item], failing: list[str]
) -> None:
    """Late arrivals, repeats, other titles under one guid, dates ahead or missing, failing feeds: the past stands."""
    with new_stores(2) as stores:
        sealed = []
        for store, future, broken in zip(stores, (one, other), ((), failing), strict=True):
            items = [*GROUND, *past, *future]
            for tick in TICKS[:2]:
                run_tick(store, list_tick(items, tick))
            sealed.append(sealed_files(store))
            for tick in TICKS[2:]:
                before = sealed_files(store)
                run_tick(store, list_tick(items, tick, broken))
                assert sealed_files(store).items() >= before.items()
        assert sealed[0] == sealed[1]
        assert len(sealed[0]) >= 3


@quick
@given(items_shown(TICKS[:2], FEW_GUIDS, 8), st.data())
def test_what_is_published_after_the_cutoff_changes_nothing_before_it_even_if_seen_before_the_sealing(
    past: list[Item], data: st.DataObject
) -> None:
    """Only another copy of the same item, by guid or link, may add the tickers of its feed to the first copy."""
    cutoff_at = CALENDAR.session(date(2025, 11, 26)).cutoff_at
    after = st.integers(1, 30 * 60 - 1).map(lambda seconds: format_datetime(cutoff_at + timedelta(seconds=seconds)))
    other_guids = st.integers(100, 199).map(str)
    later = data.draw(
        st.lists(st.builds(Item, FEED_IDS, other_guids, st.sampled_from(TITLES), after, st.just(TICKS[1])), max_size=6)
    )
    past = [item for item in past if item.date_text]  # an item without a date is published when it is seen
    with new_stores(2) as (without, with_later):
        for store, items in ((without, past), (with_later, [*past, *later])):
            for tick in TICKS[:2]:
                run_tick(store, list_tick([*GROUND, *items], tick))
        assert session_files(sealed_files(with_later)) == session_files(sealed_files(without))


def session_files(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the features and headlines among ``files``."""
    return {path: body for path, body in files.items() if path.startswith(("features/", "headlines/"))}


@quick
@given(items_shown(TICKS, FEW_GUIDS, 12), st.randoms(use_true_random=False), st.permutations(FEEDS), st.data())
def test_order_and_captures_that_see_nothing_new_change_nothing(
    items: list[Item], rng: random.Random, feeds: list[Feed], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(TICKS), max_size=4))
    with new_stores(2) as (plain, shuffled):
        for at in TICKS[:4]:
            shown = [*GROUND, *items]
            run_tick(plain, list_tick(shown, at))
            for moment in [at] + [at + timedelta(minutes=n + 1) for n in range(again.count(at))]:
                rng.shuffle(shown)
                tick = replace(list_tick(shown, at), at=moment)
                run_tick(shuffled, tick, feeds)
        assert session_files(files_of(shuffled)) == session_files(files_of(plain))


# A year of captures: a few feeds that fail, ticks that were dropped, two outages, every weekend, holiday and half day.


def make_year(seed: int, first: date = date(2025, 1, 2), days: int = 364) -> list[Tick]:
    """Return the ticks of a year, oldest first; the same for the same seed."""
    rng = random.Random(seed)
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    items = sorted(make_items(rng, start, days), key=lambda item: item.shown_at)
    ticks = []
    for at in make_moments(rng, start, days):
        failing = [feed.feed_id for feed in FEEDS if rng.random() < 0.03]
        ticks.append(list_tick([item for item in items if at - SHOWN_FOR < item.shown_at <= at], at, failing))
    return ticks


def make_items(rng: random.Random, start: datetime, days: int) -> Iterator[Item]:
    """Yield two items a day: copies, late ones, changed titles, dates ahead, in New York's time or missing."""
    for number in range(2 * days):
        published_at = start + timedelta(seconds=rng.randrange(days * 86_400))
        shown_at = published_at + rng.choice((0, 0, 0, 1, 30)) * HOUR
        written = format_datetime(published_at.astimezone(rng.choice((UTC, NEW_YORK))))
        ahead = format_datetime(published_at + 2 * DAY)
        item = Item(
            rng.choice(FEEDS).feed_id,
            f"{number}",
            f"{rng.choice(TITLES)} {rng.randrange(40)}",
            rng.choice((written,) * 8 + ("", ahead)),
            shown_at,
        )
        yield item
        if rng.random() < 0.4:
            guid = rng.choice((f"{number}", f"{number}", f"{number}c"))
            yield replace(
                item, feed_id=rng.choice(FEEDS).feed_id, guid=guid, shown_at=shown_at + rng.choice((1, 12, 30)) * HOUR
            )
        if rng.random() < 0.1:
            yield replace(item, title=item.title.replace("beats", "misses"), shown_at=shown_at + 8 * HOUR)
    for number in range(2 * days):
        at = start + number * DAY / 2
        yield Item("all", f"ground {number}", f"Nvidia is in the news, part {number}", format_datetime(at), at)


def make_moments(rng: random.Random, start: datetime, days: int) -> list[datetime]:
    """Return when the line ran: an evening run on weekdays, some more in between, on weekends some."""
    moments = []
    for day in (start + n * DAY for n in range(days)):
        is_weekday = day.weekday() < 5
        planned = ((21.5, 0.95 if is_weekday else 0.1), (14, 0.15), (17.75, 0.15))
        moments += [
            day + hour * HOUR + rng.randrange(1800) * timedelta(seconds=1)
            for hour, share in planned
            if rng.random() < share
        ]
    outages = [(start + 100 * DAY, start + 109 * DAY), (start + 200 * DAY, start + 203 * DAY)]
    return sorted(at for at in moments if not any(begin < at < end for begin, end in outages))


def run_replay(store: Path, seed: int) -> None:
    """Replay the recorded captures into ``store``, every body in full; seal only when there is a session to seal."""
    for tick in make_year(seed):
        line = open_at(store, tick, FEEDS[::-1], is_conditional=False)
        with suppress(RefusedDayError):
            capture(line, new_report())
            if CALENDAR.closed(max(line.store.sealed_dates(), default=None), tick.at):
                seal(line, new_report())


def test_a_replayed_year_of_captures_gives_the_bytes_of_sealing_each_day_when_it_happened(tmp_path: Path) -> None:
    program = (
        f"from {__name__} import run_replay; from pathlib import Path; import sys; run_replay(Path(sys.argv[1]), 7)"
    )
    environment = os.environ | {"PYTHONHASHSEED": "12345"}
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "replayed")], cwd=PROJECT, env=environment
    ) as replay:
        for tick in make_year(7):
            run_tick(tmp_path / "lived", tick)
        assert replay.wait() == 0
    lived = files_of(tmp_path / "lived")
    states = Counter(FeatureStore(tmp_path / "lived").sealed().state)
    assert states["sealed"] > 235
    assert states["missed"] > 1
    assert files_of(tmp_path / "replayed") == lived


class Killed(BaseException):
    """Stands for the end of the process: no code of ours catches it."""


def test_a_run_killed_at_any_write_and_repeated_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = make_year(3, date(2025, 11, 24), 8)
    for tick in ticks:
        run_tick(tmp_path / "whole", tick)
    kill_count = 0
    for tick in ticks:
        for write in range(1, 100):
            with monkeypatch.context() as patch, suppress(Killed):
                kill_at_write(patch, write)
                run_tick(tmp_path / "killed", tick)
                break
            kill_count += 1
    assert kill_count > 2 * len(ticks)
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")
    assert find_problems(tmp_path / "killed") == []


def kill_at_write(patch: pytest.MonkeyPatch, number: int) -> None:
    """Let the ``number``-th file from now on be the last one to be replaced, or not quite, in turn."""
    left, real = [number], os.replace

    def replace_file(source: Path, target: Path) -> None:
        left[0] -= 1
        if left[0] or number % 2:
            real(source, target)
        if not left[0]:
            raise Killed

    patch.setattr(os, "replace", replace_file)
