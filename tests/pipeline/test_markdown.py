"""A stranger's text in Markdown: shown letter by letter, and nothing is made of it."""

from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pipeline.markdown import COMMENT, escape_text, format_code, hide_commands, shorten_text

GITHUB = MarkdownIt("gfm-like")
"""Its linkifier takes more for a link than GitHub does: bare host names too."""

HOSTILE = (
    "@octocat and @org/team, see #1, GH-2, gh-3, owner/repository#4 and CVE-2026-1234",
    "mail me at someone@example.com or mailto:someone@example.com",
    "https://evil.example/a?b=c HTTP://EVIL.EXAMPLE ftp://evil.example //evil.example www.evil.example evil.com",
    "http://127.0.0.1/a http://localhost:1/ http://[::1]/ http://user:word@evil.com",
    "![image](https://evil.example/a.png) [link](javascript:alert(1)) [ref][1] [^1] <https://evil.example>",
    "<img src=x onerror=alert(1)><script>alert(1)</script><!-- hidden --> <a href='//x.com'>x</a>",
    "&lt;img&gt; &copy; &#64;octocat &commat;octocat &#x40;octocat",
    "a | b || c \\| d \\\\| e \\",
    "`code` ``code`` ```fence``` ~~~fence~~~ **bold** __bold__ *it* _it_ ~~gone~~",
    "first\nsecond\r\n\n| new | row |\n---\n# heading\n```\nfence\u2028after",
    "\u202eright to left\u202c zero\u200bwidth \u2066isolated\u2069 nul\x00 escape\x1b[31m bell\x07",
    "from $5B to $6B, $$x$$, $`x`$",
    ":tada: :+1: :100: :octocat:",
    "fixed in 5accb876c599 and 0123456789abcdef0123456789abcdef01234567",
    "- item",
    "+ item",
    "* item",
    "12. item",
    "3) item",
    "# heading",
    "> quote",
    "===",
    "---",
    ":--",
    "    code",
    "\ttab",
    "[x] done",
    "[!NOTE] alert",
    "\ud800 half of a pair",
)
UNREAD = {
    "mention": r"@[\w-]",
    "reference": r"#\w|\bgh-\d|\bcve-\d",
    "address": r"//|\bwww\.\S|\w\.(com|example)\b",
    "commit": r"\b[0-9a-f]{7,40}\b",
    "emoji": r":[\w+-]+:",
    "formula": r"\$\S[^$]*\$",
}
"""What GitHub looks for in rendered text, one run of text at a time."""


def show(html: str) -> str:
    """Return the text that a page shows."""
    return unescape(html.replace(COMMENT, "")).strip()


def list_runs(html: str) -> list[str]:
    """Return the runs of text between tags and comments, as they are searched."""
    return [unescape(run) for run in re.split(r"<!--.*?-->|<[^>]*>", html)]


def read_cells(markdown: str) -> list[str]:
    """Return the HTML of the first cell of every row of the one table that ``markdown`` must be."""
    html = GITHUB.render(markdown)
    assert html.startswith("<table>")
    assert html.endswith("</table>\n")
    return re.findall(r"<tr>\n<td>(.*?)</td>\n<td>end</td>\n</tr>", html)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_stays_one_cell_and_is_shown_as_it_is(text: str) -> None:
    table = f"| text | end |\n| --- | --- |\n| {escape_text(text)} | end |\n| next | end |\n"
    cells = read_cells(table)
    assert [show(cell) for cell in cells] == [shorten_text(text), "next"]
    assert not re.findall(r"<(?!!-- -->)", cells[0])


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("before", ["", "- ", "1. ", "**Failed:** "])
def test_a_text_begins_no_block_and_no_link(text: str, before: str) -> None:
    escaped = escape_text(text)
    assert "\n" not in escaped
    tags = set(re.findall(r"</?(\w+)", GITHUB.render(before + escaped)))
    assert tags <= {"p", "ul", "ol", "li", "strong"}
    assert GITHUB.render(before + escaped).count("<li>") == (before in ("- ", "1. "))


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("name", UNREAD)
def test_no_run_of_rendered_text_reads_as_anything(text: str, name: str) -> None:
    for run in list_runs(GITHUB.render(escape_text(text))):
        assert not re.search(UNREAD[name], run, re.IGNORECASE), run


@pytest.mark.parametrize(
    ("name", "text"), zip(UNREAD, ("@octocat", "#1", "//a.com", "5accb87", ":tada:", "$a$"), strict=True)
)
def test_the_search_would_find_it_unescaped(name: str, text: str) -> None:
    assert re.search(UNREAD[name], text)


@given(st.lists(st.one_of(st.text(), st.sampled_from(HOSTILE))).map("".join), st.integers(2, 600))
def test_any_text_is_one_cell_that_shows_it(text: str, limit: int) -> None:
    cells = read_cells(f"| text | end |\n| --- | --- |\n| {escape_text(text, limit)} | end |\n")
    assert [show(cell) for cell in cells] == [shorten_text(text, limit)]
    assert not re.findall(r"<(?!!-- -->)", cells[0])
    assert len(shorten_text(text, limit)) <= limit


@given(st.text(alphabet="@#/.:$|\\`*_~[]()<>&!-+=0123456789abfw \n"))
def test_any_row_of_marks_is_one_cell_that_shows_it(text: str) -> None:
    cells = read_cells(f"| text | end |\n| --- | --- |\n| {escape_text(text)} | end |\n")
    assert [show(cell) for cell in cells] == [shorten_text(text)]
    assert not re.findall(r"<(?!!-- -->)", cells[0])


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("Cisco raises full-year forecast: Q3 up 12.5%, U.S. sales flat", None),
        ("Form 8-K of Berkshire Hathaway (BRK.B)", None),
        ("3M & AT&T <agree>", "3M &amp; AT&amp;T &lt;agree&gt;"),
        ("up @ noon, # of shares", "up @ noon, \\# of shares"),
        ("yahoo:XOM", None),
    ],
)
def test_plain_text_stays_readable_in_the_source(text: str, escaped: str | None) -> None:
    assert escape_text(text) == (escaped or text)


def test_a_long_text_ends_in_an_ellipsis() -> None:
    assert escape_text("abc def ghi", 8) == "abc def…"
    assert escape_text("abc def ghi", 5) == "abc…"
    assert escape_text("abc", 3) == "abc"


@pytest.mark.parametrize("text", [*HOSTILE, "a`b``c"])
def test_a_code_span_is_not_left(text: str) -> None:
    html = GITHUB.render(f"x {format_code(text)} y")
    assert re.fullmatch(r"<p>x <code>[^<]*</code> y</p>\n", html)


def test_nothing_is_no_code_span() -> None:
    assert format_code(" \x00 ") == ""


def test_a_log_line_holds_no_command_of_the_runner() -> None:
    assert hide_commands("##[add-mask]a ##[error]b") == "## [add-mask]a ## [error]b"
