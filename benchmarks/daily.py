"""Time the whole daily job: 500 tickers, 10,000 headlines, a loopback feed server, the embedded model.

    python -m benchmarks.daily

Prints the job's own report: seconds per stage and peak memory. The server is another process, so that its memory
does not count. The headlines belong to the latest closed session, whatever the day.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from urllib.parse import unquote
from xml.sax.saxutils import escape

from pipeline.__main__ import main
from pipeline.config import HOME, load_companies
from pipeline.sessions import Sessions

TICKER_COUNT, HEADLINE_COUNT = 500, 10_000
SUBJECTS = ("quarterly profit", "full-year outlook", "cloud revenue", "operating margin", "order backlog", "unit costs")
EVENTS = ("beats estimates", "misses estimates", "is raised", "is cut", "is in line with guidance", "draws questions")
TAILS = ("as demand holds up", "on weaker demand in Europe", "after a strong holiday season", "amid higher input costs")


def write_headlines(companies: list[str], count: int) -> dict[str, list[str]]:
    """Return ``count`` headlines spread evenly over ``companies``; with figures of their own, so few repeat another."""
    rng = random.Random(7)
    shapes = list(product(SUBJECTS, EVENTS, TAILS))
    headlines = {}
    for company in companies:
        picked = rng.sample(shapes, count // len(companies))
        headlines[company] = [
            f"{company} {subject} {event} by {rng.randint(1, 999)} basis points {tail}"
            for subject, event, tail in picked
        ]
    return headlines


def render_feed(ticker: str, titles: list[str], cutoff_at: datetime) -> bytes:
    """Return an RSS document of ``titles``, one every few minutes before ``cutoff_at``."""
    items = "".join(
        f"<item><title>{escape(title)}</title><link>https://news.example/{ticker}/{i}</link>"
        f"<pubDate>{format_datetime(cutoff_at - timedelta(minutes=7 * i))}</pubDate></item>"
        for i, title in enumerate(titles)
    )
    return f'<rss version="2.0"><channel><title>{ticker}</title>{items}</channel></rss>'.encode()


def serve(bodies: dict[str, bytes], ready: Connection) -> None:
    """Answer every feed of ``bodies`` on a free port of this machine until killed."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # noqa: N802
            body = bodies[unquote(self.path.strip("/"))]
            self.send_response(200)
            self.send_header("Content-Type", "application/rss+xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ready.send(server.server_port)
    server.serve_forever()


def write_settings(directory: Path, port: int) -> Path:
    """Write the shipped settings, changed only where a loopback server needs it, and return their path."""
    universe = (HOME / "sp500.csv").read_text().splitlines()[: TICKER_COUNT + 1]
    (directory / "tickers.csv").write_text("\n".join(universe) + "\n")
    (directory / "feeds.toml").write_text(f'[local]\nsource = "Local"\nurl = "http://127.0.0.1:{port}/{{ticker}}"\n')
    text = (HOME / "settings.toml").read_text()
    for old, new in (
        ("allow_private_addresses = false", "allow_private_addresses = true"),
        ("max_age_hours = 120.0", "max_age_hours = 240.0"),
        ("min_interval_s = 0.25", "min_interval_s = 0"),
        ("per_host = 2", "per_host = 16"),
        ('model = "default_model"', f'model = "{HOME / "default_model"}"'),
        ('store = "../feature_store"', 'store = "feature_store"'),
    ):
        assert old in text, old
        text = text.replace(old, new)
    (directory / "settings.toml").write_text(text)
    return directory / "settings.toml"


def run() -> int:
    """Run the benchmark and print its figures."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        companies = load_companies(HOME / "sp500.csv")[:TICKER_COUNT]
        headlines = write_headlines([company.name for company in companies], HEADLINE_COUNT)
        session = Sessions("XNYS", 0).latest_closed(datetime.now(UTC))
        bodies = {c.ticker: render_feed(c.ticker, headlines[c.name], session.cutoff_at) for c in companies}
        receiver, sender = multiprocessing.Pipe(duplex=False)
        server = multiprocessing.Process(target=serve, args=(bodies, sender), daemon=True)
        server.start()
        settings = write_settings(directory, receiver.recv())
        started = perf_counter()
        code = main(["daily", "--settings", str(settings), "--report", str(directory / "report")])
        elapsed = perf_counter() - started
        server.terminate()
        print(f"whole job: {elapsed:.1f} s for {HEADLINE_COUNT:,} headlines of {TICKER_COUNT} tickers")
    return code


if __name__ == "__main__":
    sys.exit(run())
