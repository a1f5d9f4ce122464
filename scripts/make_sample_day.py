"""Render the recorded day of the demo: pipeline/sample_day/headlines.csv to one feed file per address.

    python scripts/make_sample_day.py            # take the universe of pipeline/tickers.csv and write feeds/ anew
    python scripts/make_sample_day.py --check    # exit 1 if feeds/ is not what the table renders to

Every source keeps its own shape: element order, identifiers, date forms, escaping, encoding. The universe is recorded
beside the feeds (sample_day/tickers.csv), so the recording stays whole when pipeline/tickers.csv is edited.
"""

from __future__ import annotations

import argparse
import csv
import html
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5
from xml.sax.saxutils import escape, quoteattr

PIPELINE = Path(__file__).resolve().parent.parent / "pipeline"
SAMPLE_DAY = PIPELINE / "sample_day"
COLUMNS = ["feed", "tickers", "symbols", "published", "title", "publisher", "link", "notes"]
BUILT = "Fri, 20 Nov 2026 21:30:00"
DISCLAIMER = "Invented headlines for demonstration. No real events."
ERROR_PAGE = """<!DOCTYPE html>
<html lang="en"><head><title>Service unavailable</title></head>
<body><h1>We'll be right back</h1><p>The page you asked for is not available at the moment.</p></body></html>
"""
FAULTS = {"seekingalpha-XOM.status": "503\n", "nasdaq-DIS.status": "429\n", "globenewswire.xml": ERROR_PAGE}
"""Feeds recorded as failures: an HTTP status instead of a document, or a web page where a feed should be."""

Row = dict[str, str]


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check the recorded feeds; return 1 when a check finds a difference."""
    parser = argparse.ArgumentParser(description="Render the recorded day of the demo.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the files on disk differ")
    args = parser.parse_args(argv)
    universe = (SAMPLE_DAY if args.check else PIPELINE) / "tickers.csv"
    try:
        files = render_day(_read_rows(SAMPLE_DAY / "headlines.csv"), [row["ticker"] for row in _read_rows(universe)])
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.check:
        return _check_files(files, SAMPLE_DAY / "feeds")
    (SAMPLE_DAY / "tickers.csv").write_bytes(universe.read_bytes())
    _write_files(files, SAMPLE_DAY / "feeds")
    return 0


def render_day(rows: Sequence[Row], tickers: Sequence[str]) -> dict[str, bytes]:
    """Return file name to bytes: a file per general feed, and per ticker and per-ticker feed. Deterministic.

    Raises:
        ValueError: naming the table's line, for a feed or ticker that is not known.
    """
    _check_rows(rows, tickers)
    files = {}
    for feed, render in PER_TICKER.items():
        for ticker in tickers:
            items = [row for row in rows if row["feed"] == feed and ticker in row["tickers"].split()]
            files[f"{feed}-{ticker}.xml"] = render(ticker, items).encode()
    for feed, (render_general, encoding) in GENERAL.items():
        files[f"{feed}.xml"] = render_general([row for row in rows if row["feed"] == feed]).encode(encoding)
    for name, text in FAULTS.items():
        files.pop(f"{Path(name).stem}.xml", None)
        files[name] = text.encode()
    return dict(sorted(files.items()))


def _check_rows(rows: Sequence[Row], tickers: Sequence[str]) -> None:
    for line, row in enumerate(rows, start=2):
        if row["feed"] not in PER_TICKER and row["feed"] not in GENERAL:
            raise ValueError(f"headlines.csv:{line}: feed {row['feed']!r}: expected one of {[*PER_TICKER, *GENERAL]}")
        for ticker in row["tickers"].split():
            if ticker not in tickers:
                raise ValueError(f"headlines.csv:{line}: ticker {ticker} is not in tickers.csv")


def _yahoo(ticker: str, rows: Sequence[Row]) -> str:
    """Channel elements after the items, titles escaped twice, an identifier that is no link."""
    items = "".join(
        f"""        <item>
            <description>{DISCLAIMER}</description>
            <guid isPermaLink="false">{uuid5(NAMESPACE_URL, row["link"])}</guid>
            <link>{escape(row["link"])}</link>
{_date("            ", row)}            <title>{escape(html.escape(row["title"]).replace("&#x27;", "&#39;"))}</title>
        </item>
"""
        for row in rows
    )
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<rss version="2.0">
    <channel>
        <description>{DISCLAIMER}</description>
{items}        <language>en-US</language>
        <lastBuildDate>{BUILT} +0000</lastBuildDate>
        <link>https://finance.example.com/q/h?s={ticker}</link>
        <title>Sample in the form of Yahoo Finance: {ticker} News</title>
    </channel>
</rss>
"""


def _googlenews(ticker: str, rows: Sequence[Row]) -> str:
    """One line per item, the publisher behind the headline and in ``source``, opaque links, markup in descriptions."""
    items = "".join(
        f"<item><title>{escape(row['title'])} - {escape(row['publisher'])}</title><link>{row['link']}</link>"
        f'<guid isPermaLink="false">{_last_part(row)}</guid>{_date("", row, end="")}'
        f"<description>{escape(_google_description(row))}</description>"
        f'<source url="https://publisher.example.org">{escape(row["publisher"])}</source></item>\n'
        for row in rows
    )
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
        '<rss version="2.0" xmlns:media="http://search.yahoo.com/mrss/"><channel><generator>NFE/5.0</generator>'
        f'<title>"{ticker}" - sample in the form of Google News</title><link>https://news.example.com/search</link>'
        f"<language>en-US</language><lastBuildDate>{BUILT} GMT</lastBuildDate>"
        f"<description>{DISCLAIMER}</description>{items}</channel></rss>\n"
    )


def _google_description(row: Row) -> str:
    title, publisher = html.escape(row["title"], quote=False), html.escape(row["publisher"], quote=False)
    return f'<a href="{row["link"]}" target="_blank">{title}</a>&nbsp;&nbsp;<font color="#6f6f6f">{publisher}</font>'


def _seekingalpha(ticker: str, rows: Sequence[Row]) -> str:
    """A numeric identifier, New York offsets, and every ticker of the item as a category."""
    items = "".join(
        f"""    <item>
      <title>{escape(row["title"])}</title>
      <link>{escape(row["link"])}</link>
      <guid isPermaLink="false">{_last_part(row).partition("-")[0]}</guid>
{_date("      ", row)}{"".join(map(_category, _symbols(row)))}    </item>
"""
        for row in rows
    )
    return f"""<?xml version="1.0"?>
<rss xmlns:dc="http://purl.org/dc/elements/1.1/" version="2.0">
  <channel>
    <title>{ticker} - sample in the form of Seeking Alpha</title>
    <description>{DISCLAIMER}</description>
    <link>https://alpha.example.com</link>
{items}  </channel>
</rss>
"""


def _category(symbol: str) -> str:
    link = quoteattr(f"https://alpha.example.com/symbol/{symbol}")
    return f'      <category type="symbol" link={link}>{symbol}</category>\n'


def _nasdaq(ticker: str, rows: Sequence[Row]) -> str:
    """Every ticker of the item in ``nasdaq:tickers``, separated by commas."""
    items = "".join(
        f"""<item>
<title>{escape(row["title"])}</title>
<link>{escape(row["link"])}</link>
<description>{DISCLAIMER}</description>
{_date("", row)}<dc:creator>Sample Desk</dc:creator>
<category>Markets</category>
<guid isPermaLink="false">{escape(row["link"])}?time=1795210200</guid>
<nasdaq:tickers>{",".join(_symbols(row))}</nasdaq:tickers>
</item>
"""
        for row in rows
    )
    return f"""<?xml version="1.0" encoding="utf-8"?>
<rss xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:nasdaq="http://nasdaq.com/reference/feeds/1.0" version="2.0">
<channel>
<title>Sample in the form of Nasdaq: {ticker}</title>
<link>https://articles.example.com</link>
<description>{DISCLAIMER}</description>
<language>en</language>
{items}</channel>
</rss>
"""


def _cnbc(rows: Sequence[Row]) -> str:
    """Dates without seconds, descriptions in CDATA, metadata elements around the identifier."""
    items = "".join(
        f"""    <item>
      <link>{escape(row["link"])}</link>
      <guid isPermaLink="false">{108900100 + number}</guid>
      <metadata:type>cnbcnewsstory</metadata:type>
      <metadata:id>{108900100 + number}</metadata:id>
      <title>{escape(row["title"], {"'": "&apos;"})}</title>
      <description><![CDATA[{DISCLAIMER}]]></description>
{_date("      ", row)}    </item>
"""
        for number, row in enumerate(rows)
    )
    namespace = "http://search.cnbc.com/rss/2.0/modules/siteContentMetadata"
    return f"""<?xml version="1.0" encoding="UTF-8"?><rss xmlns:metadata="{namespace}" version="2.0">
  <channel>
    <language>en-us</language>
    <title>Sample in the form of CNBC: Business News</title>
    <lastBuildDate>Fri, 20 Nov 2026 21:30 GMT</lastBuildDate>
    <link>https://tv.example.org/business/</link>
    <description><![CDATA[{DISCLAIMER}]]></description>
{items}  </channel>
</rss>
"""


def _marketwatch(rows: Sequence[Row]) -> str:
    """An identifier in braces; some dates name a zone (ET, EST) instead of an offset."""
    items = "".join(
        f"""<item><title>{escape(row["title"])}</title><link>{escape(row["link"])}</link>
<description>{DISCLAIMER}</description>
<guid isPermaLink="false">{{{str(uuid5(NAMESPACE_URL, row["link"])).upper()}}}</guid>
{_date("", row)}</item>
"""
        for row in rows
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0"><channel><title>Sample in the form of MarketWatch: Top Stories</title>
<link>https://markets.example.org/</link><description>{DISCLAIMER}</description><language>en-us</language>
<pubDate>{BUILT} GMT</pubDate>
{items}</channel></rss>
"""


def _prnewswire(rows: Sequence[Row]) -> str:
    """The link is the identifier; companies name their exchange and ticker in the title."""
    items = "".join(
        f"""    <item>
      <title>{escape(row["title"])}</title>
      <link>{escape(row["link"])}</link>
      <guid isPermaLink="true">{escape(row["link"])}</guid>
{_date("      ", row)}      <description>{DISCLAIMER}</description>
      <dc:contributor>Sample Issuer</dc:contributor>
    </item>
"""
        for row in rows
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<rss xmlns:dc="http://purl.org/dc/elements/1.1/" version="2.0">
  <channel>
    <title>Sample in the form of PR Newswire: News Releases</title>
    <link>https://wire.example.org/news-releases/</link>
    <description>{DISCLAIMER}</description>
    <lastBuildDate>{BUILT} +0000</lastBuildDate>
{items}  </channel>
</rss>
"""


def _sec8k(rows: Sequence[Row]) -> str:
    """Atom in ISO-8859-1, with the accession number as identifier and escaped markup in the summary."""
    entries = "".join(
        f"""<entry>
<title>{escape(row["title"])}</title>
<link rel="alternate" type="text/html" href={quoteattr(row["link"])}/>
<summary type="html">
 {escape(f"<b>Filed:</b> {row['published'][:10]} <b>AccNo:</b> {_accession(row)} <b>Size:</b> 200 KB")}
</summary>
<updated>{row["published"]}</updated>
<category scheme="https://filings.example.org/" label="form type" term="8-K"/>
<id>urn:tag:example.org,2026:accession-number={_accession(row)}</id>
</entry>
"""
        for row in rows
    )
    return f"""<?xml version="1.0" encoding="ISO-8859-1" ?>
<feed xmlns="http://www.w3.org/2005/Atom">
<title>Sample in the form of SEC EDGAR: Latest Filings</title>
<link rel="alternate" href="https://filings.example.org/"/>
<id>https://filings.example.org/current</id>
<author><name>Sample</name></author>
<updated>2026-11-20T16:30:00-05:00</updated>
{entries}</feed>
"""


PER_TICKER: dict[str, Callable[[str, Sequence[Row]], str]] = {
    "yahoo": _yahoo,
    "nasdaq": _nasdaq,
    "seekingalpha": _seekingalpha,
    "googlenews": _googlenews,
}
GENERAL: dict[str, tuple[Callable[[Sequence[Row]], str], str]] = {
    "cnbc": (_cnbc, "utf-8"),
    "marketwatch": (_marketwatch, "utf-8"),
    "prnewswire": (_prnewswire, "utf-8"),
    "sec8k": (_sec8k, "iso-8859-1"),
}


def _date(indent: str, row: Row, end: str = "\n") -> str:
    """Return the pubDate element, or nothing for a row without a date."""
    return f"{indent}<pubDate>{escape(row['published'])}</pubDate>{end}" if row["published"] else ""


def _symbols(row: Row) -> list[str]:
    """Return the tickers named inside the item: those whose feeds carry it, then the others."""
    return [*row["tickers"].split(), *row["symbols"].split()]


def _last_part(row: Row) -> str:
    """Return the last part of the link's path."""
    return row["link"].partition("?")[0].rpartition("/")[2]


def _accession(row: Row) -> str:
    return _last_part(row).removesuffix("-index.htm")


def _read_rows(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if path.name == "headlines.csv" and reader.fieldnames != COLUMNS:
            raise ValueError(f"{path}:1: columns {reader.fieldnames}: expected {COLUMNS}")
        return list(reader)


def _write_files(files: dict[str, bytes], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.name not in files:
            path.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    print(f"{folder}: {len(files)} files, {sum(map(len, files.values())):,} bytes")


def _check_files(files: dict[str, bytes], folder: Path) -> int:
    """Print the name of every file that is missing, changed or not rendered; return 1 if there is one."""
    found = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}
    differing = sorted(name for name in files.keys() | found.keys() if files.get(name) != found.get(name))
    for name in differing:
        print(f"{folder / name}: differs from what headlines.csv renders to")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
