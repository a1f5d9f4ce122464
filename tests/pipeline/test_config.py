"""Configuration: good files load once into frozen objects; bad ones are refused with file, key and expectation."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.config import HOME, AdapterSettings, load_companies, load_feed_templates, load_settings
from pipeline.errors import ConfigError
from pipeline.feeds import list_feeds, unheard_tickers
from pipeline.pinned import MODELS
from pipeline.records import Company, Feed
from tests.sample import PLACES, SAMPLE, read_settings, sample_settings

SETTINGS = read_settings()


def pin(repository: str = "made/adapter", revision: str = "a" * 40, sha256: str = "5" * 64) -> str:
    """Return the recorded day's settings with an adapter in them."""
    text = SETTINGS.replace('repository = ""', f'repository = "{repository}"')
    return text.replace('revision = ""', f'revision = "{revision}"').replace('sha256 = ""', f'sha256 = "{sha256}"')


def test_shipped_settings_load_and_are_frozen() -> None:
    settings = load_settings()
    assert settings.fetch.allow_private_addresses is False
    with pytest.raises(AttributeError):
        settings.fetch.workers = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("found", "replacement", "message"),
    [
        ("workers = 16", "wrokers = 16", "unknown key fetch.wrokers: expected one of user_agent, workers"),
        ("workers = 16", "", "fetch.workers is missing"),
        ("workers = 16", 'workers = "16"', "fetch.workers = '16': expected a whole number"),
        ("workers = 16", "workers = 0", "fetch.workers = 0: expected a number from 1 to 256"),
        ("workers = 16", "workers = true", "fetch.workers = True: expected a whole number"),
        ("threshold = 0.8", "threshold = nan", "dedupe.threshold = nan: expected a number from 0.01 to 1"),
        ("[dedupe]", "[duplicates]", "unknown key duplicates"),
        ('calendar = "XNYS"', 'calendar = ""', "sessions.calendar = '': expected text"),
        ("[fetch]", "[fetch", "not valid TOML"),
        ('repository = ""', 'repository = "made/adapter"', "adapter.revision = '': expected a commit of 40 hex digits"),
        ('repository = ""', "repository = 1", "adapter.repository = 1: expected text"),
        ('revision = ""', f'revision = "{"a" * 40}"', "adapter.repository = '': expected OWNER/NAME on the Hub"),
        ('repository = ""', "name = 1", "unknown key adapter.name: expected one of repository, revision"),
        ('sha256 = ""', f'sha256 = "{"5" * 64}"', "adapter.repository = '': expected OWNER/NAME on the Hub"),
    ],
)
def test_bad_settings_are_refused_by_key(tmp_path: Path, found: str, replacement: str, message: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(SETTINGS.replace(found, replacement))
    with pytest.raises(ConfigError) as refusal:
        load_settings(path)
    assert str(path) in str(refusal.value)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("repository", "revision", "sha256", "message"),
    [
        ("made/adapter", "a" * 40, "5" * 64, None),
        ("made/adapter", "main", "5" * 64, "adapter.revision = 'main': expected a commit of 40 hex digits"),
        ("made/adapter", "A" * 40, "5" * 64, "expected a commit of 40 hex digits"),
        ("runs/made/seed1", "a" * 40, "5" * 64, "adapter.repository = 'runs/made/seed1': expected OWNER/NAME"),
        ("made/adapter", "a" * 40, "", "adapter.sha256 = '': expected 64 hex digits, the SHA-256 of the adapter's"),
        ("made/adapter", "a" * 40, "5" * 40, "; `python -m training promote` writes it"),
    ],
)
def test_an_adapter_is_pinned_by_commit_and_digest(
    tmp_path: Path, repository: str, revision: str, sha256: str, message: str | None
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(pin(repository, revision, sha256))
    if message is None:
        assert load_settings(path).adapter == AdapterSettings(repository, revision, sha256)
    else:
        with pytest.raises(ConfigError) as refusal:
            load_settings(path)
        assert message in str(refusal.value)


def test_settings_need_no_adapter(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(SETTINGS[: SETTINGS.index("[adapter]")] + SETTINGS[SETTINGS.index("[sessions]") :])
    assert load_settings(path).adapter == sample_settings().adapter == AdapterSettings()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ("made/adapter", "a" * 40, MODELS / ("a" * 40), "5" * 64)),
        (["--output", "mine"], ("made/adapter", "a" * 40, Path("mine"), "5" * 64)),
        (["runs/made-seed1"], ("runs/made-seed1", None, HOME / "default_model", "")),
        (["made/other", "--revision", "b" * 40], ("made/other", "b" * 40, HOME / "default_model", "")),
    ],
)
def test_export_takes_the_adapter_it_is_given_else_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: tuple[str, str | None, Path, str]
) -> None:
    path, seen = tmp_path / "settings.toml", []
    path.write_text(pin())

    def stop(adapter: str, revision: str | None, output: Path, parity_set: Path, sha256: str) -> None:
        seen.append((adapter, revision, output, sha256))
        raise ConfigError("far enough")

    monkeypatch.setattr("pipeline.export.export_model", stop)
    assert main(["export-model", *arguments, "--settings", str(path)]) == 1
    assert seen == [expected]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "adapter.repository is empty: name an adapter"), (["--revision", "b" * 40], "--revision needs the Hub rep")],
)
def test_export_without_an_adapter_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["export-model", *arguments, *PLACES]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_missing_settings_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="absent.toml: cannot be read: No such file"):
        load_settings(tmp_path / "absent.toml")


@pytest.mark.parametrize(("path", "least"), [(SAMPLE / "tickers.csv", 45), (HOME / "sp500.csv", 490)])
def test_shipped_universes_load(path: Path, least: int) -> None:
    companies = load_companies(path)
    assert len(companies) >= least
    assert [company.ticker for company in companies] == sorted(company.ticker for company in companies)
    assert "BRK.B" in {company.ticker for company in companies}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ticker,name,aliases,exchange\n", ":1: columns ticker,name,aliases,exchange: expected ticker,company"),
        ("", ":1: columns : expected ticker,company,aliases,exchange"),
        ("ticker,company,aliases,exchange\n", "no tickers"),
        ("ticker,company,aliases,exchange\nAA,Alcoa,,NYSE\nAA,Alcoa,,NYSE\n", ":3: ticker AA is already on line 2"),
        ("ticker,company,aliases,exchange\naapl,Apple,,NASDAQ\n", ":2: ticker 'aapl': expected capitals"),
        ("ticker,company,aliases,exchange\nBRK-B,Berkshire,,NYSE\n", ":2: ticker 'BRK-B': expected capitals"),
        ("ticker,company,aliases,exchange\nAA,,,NYSE\n", ":2: company of AA is empty"),
        ("ticker,company,aliases,exchange\nAA,Alcoa,NYSE\n", ":2: 3 cells: expected 4"),
    ],
)
def test_bad_universes_are_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "tickers.csv"
    path.write_text(text)
    with pytest.raises(ConfigError) as refusal:
        load_companies(path)
    assert f"{path}" in str(refusal.value)
    assert message in str(refusal.value)


def test_aliases_are_split_and_stripped(tmp_path: Path) -> None:
    path = tmp_path / "tickers.csv"
    path.write_text('ticker,company,aliases,exchange\nMETA,"Meta Platforms",Facebook | Instagram|,NASDAQ\n')
    assert load_companies(path) == (Company("META", "Meta Platforms", ("Facebook", "Instagram"), "NASDAQ"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[a]\nsource = "A"\nurl = "ftp://a.example/feed"',
            "a.url = 'ftp://a.example/feed': expected an http(s) address",
        ),
        ('[a]\nsource = "A"\nurl = "https:///feed"', "expected an http(s) address with a host"),
        ('[a]\nsource = "A"\nurl = "https://a.example:port/feed"', "expected an http(s) address with a host"),
        ('[a]\nsource = "A"\nurl = "https://{ticker}.example/feed"', "expected an http(s) address with a host"),
        ('[a]\nsource = "A"\nurl = "https://a.example/a feed"', "expected an http(s) address with a host"),
        ('[a]\nsource = "A"\nurl = "https://a.example/{symbol}"', "a.url: {symbol}: expected {ticker} or {company}"),
        (
            '[a]\nsource = "A"\nlink = "https://a.example/"',
            "unknown key a.link: expected one of name, source, url, dot",
        ),
        ('[a]\nsource = "A"', "a.url is missing"),
        (
            '["a:b"]\nsource = "A"\nurl = "https://a.example/"',
            "[a:b]: expected a name of lower-case letters and digits",
        ),
        ("a = 1", "a: expected a [a] table with source and url"),
        ("", "no feeds"),
    ],
)
def test_bad_feeds_are_refused_by_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "feeds.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refusal:
        load_feed_templates(path)
    assert str(path) in str(refusal.value)
    assert message in str(refusal.value)


def test_templates_become_one_feed_per_ticker_or_one_in_all(tmp_path: Path) -> None:
    path = tmp_path / "feeds.toml"
    path.write_text(
        '[dash]\nsource = "Dash"\nurl = "https://a.example/?s={ticker}"\ndot = "-"\n'
        '[words]\nsource = "Words"\nurl = "https://b.example/?q={company}"\n'
        '[all]\nsource = "All"\nurl = "https://c.example/feed"\n'
    )
    companies = [Company("BRK.B", "Berkshire & Sons", (), "NYSE")]
    assert list_feeds(load_feed_templates(path), companies) == (
        Feed("dash:BRK.B", "Dash", "https://a.example/?s=BRK-B", "BRK.B"),
        Feed("words:BRK.B", "Words", "https://b.example/?q=Berkshire%20%26%20Sons", "BRK.B"),
        Feed("all", "All", "https://c.example/feed", None),
    )


@pytest.mark.parametrize(
    ("answered", "unheard"),
    [
        ({"a:X", "b:X", "a:Y", "all"}, set()),
        ({"a:X", "a:Y", "all"}, {"X"}),
        ({"a:X", "b:X", "a:Y"}, {"Z"}),
        (set(), {"X", "Y", "Z"}),
    ],
)
def test_silence_counts_only_when_every_feed_of_a_ticker_answered(answered: set[str], unheard: set[str]) -> None:
    feeds = [
        Feed("a:X", "A", "https://a.example/X", "X"),
        Feed("b:X", "B", "https://b.example/X", "X"),
        Feed("a:Y", "A", "https://a.example/Y", "Y"),
        Feed("all", "All", "https://c.example/"),
    ]
    assert unheard_tickers(feeds, ["X", "Y", "Z"], answered) == unheard
