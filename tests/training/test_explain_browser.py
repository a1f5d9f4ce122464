"""The page about a run in a real browser: it loads nothing, runs nothing of what it quotes, filters, sorts and fits."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("captum", reason="explain needs captum")
pytest.importorskip("cleanlab", reason="explain needs cleanlab")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from .explained_run import HOSTILE, make_explained  # noqa: E402

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SECTIONS = ("summary", "curves", "confusion", "errors", "fiqa", "labels")
PHONE = 390


@pytest.fixture(scope="module")
def page_path(mini_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_explained(mini_root, tmp_path_factory.mktemp("browsed")).page


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no browser found: none of {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=list(QUIET))
        yield started
        started.close()


class Visit:
    """An open page, and what it asked for and complained of."""

    def __init__(self, browser: playwright.Browser, path: Path, **context: object) -> None:
        self.page = browser.new_context(**context).new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.goto(path.as_uri())

    def open_all(self) -> None:
        self.page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")

    def count_cards(self) -> int:
        return self.page.locator("#errors article:visible").count()


@pytest.fixture
def visit(browser: playwright.Browser, page_path: Path) -> Iterator[Visit]:
    opened = Visit(browser, page_path, viewport={"width": 1280, "height": 900})
    yield opened
    opened.page.context.close()


@pytest.mark.parametrize("has_script", [True, False])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, PHONE])
def test_the_page_loads_itself_alone_and_fits(
    browser: playwright.Browser, page_path: Path, width: int, scheme: str, has_script: bool
) -> None:
    size = {"width": width, "height": 844}
    visit = Visit(browser, page_path, viewport=size, color_scheme=scheme, java_script_enabled=has_script)
    for section in SECTIONS:
        assert visit.page.locator(f"#{section} h2").is_visible()
    if has_script:
        visit.open_all()
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
        assert (
            visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
            == {
                "light": "rgb(245, 246, 248)",
                "dark": "rgb(20, 23, 27)",
            }[scheme]
        )
    assert visit.page.locator("#errors article").first.is_visible()
    assert visit.page.locator("#errors form").is_visible() is has_script
    assert visit.requests == [page_path.as_uri()]
    assert visit.complaints == []
    visit.page.context.close()


def test_hostile_text_is_shown_and_not_run(visit: Visit) -> None:
    visit.open_all()
    assert visit.page.title() == "What hostile-seed42 gets wrong"
    assert visit.page.locator("script").count() == 1
    assert visit.page.locator("img").count() == 0
    card = visit.page.locator("#errors article", has_text="onerror").first
    assert card.locator(".words").text_content() == HOSTILE
    assert visit.complaints == []


def test_a_script_that_got_in_would_still_not_run(visit: Visit) -> None:
    visit.page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "document.title = 'owned'";
            document.body.append(script);
            document.body.insertAdjacentHTML("beforeend", `<p onclick="document.title = 'owned'" id="bait">bait</p>`);
            document.getElementById("bait").click();
        }"""
    )
    assert visit.page.title() == "What hostile-seed42 gets wrong"
    assert any("Content Security Policy" in complaint for complaint in visit.complaints)


def test_the_filter_keeps_what_it_is_asked_for_and_says_how_many(visit: Visit) -> None:
    total, said = visit.count_cards(), visit.page.locator("#errors output")
    assert said.text_content() == f"{total} of {total} shown"
    visit.page.select_option("[data-key=source]", "twitter")
    tweets = visit.page.locator("#errors article[data-source=twitter]").count()
    assert 0 < visit.count_cards() == tweets < total
    assert not visit.page.locator("#errors .block", has_text="SEntFiN").is_visible()
    visit.page.fill("[data-key=words]", "ONERROR")
    assert 0 < visit.count_cards() < tweets
    assert said.text_content() == f"{visit.count_cards()} of {total} shown"
    visit.page.fill("[data-key=words]", "no text says this")
    assert visit.count_cards() == 0
    visit.page.click("#errors form button")
    assert visit.count_cards() == total


def test_label_and_prediction_filter_together(visit: Visit) -> None:
    card = visit.page.locator("#errors article").first
    true, predicted = card.get_attribute("data-true"), card.get_attribute("data-predicted")
    visit.page.select_option("[data-key=true]", true)
    visit.page.select_option("[data-key=predicted]", predicted)
    both = visit.page.locator(f"#errors article[data-true={true}][data-predicted={predicted}]").count()
    assert visit.count_cards() == both > 0
    visit.page.select_option("[data-key=predicted]", true)
    assert visit.count_cards() == 0


def test_cards_are_ordered_by_length_and_back(visit: Visit) -> None:
    def read(key: str) -> list[int]:
        block = visit.page.locator("#errors .block", has=visit.page.locator("[data-source=twitter]"))
        return [
            int(value) for value in block.locator("article").evaluate_all(f"all => all.map(one => one.dataset.{key})")
        ]

    visit.page.select_option("[data-key=order]", "longest")
    lengths = read("length")
    assert lengths[0] == len(HOSTILE)
    assert lengths == sorted(lengths, reverse=True)
    visit.page.select_option("[data-key=order]", "confident")
    assert read("rank") == list(range(1, len(lengths) + 1))


def test_a_table_is_sorted_by_the_column_clicked(visit: Visit) -> None:
    table = visit.page.locator("#fiqa table.sortable")

    def read() -> list[float]:
        return [float(text) for text in table.locator("tbody tr td:nth-child(6)").all_text_contents()]

    head = table.locator("th", has_text="Residual")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert read() == sorted(read())
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert read() == sorted(read(), reverse=True)


def test_every_control_can_be_reached_and_is_named(visit: Visit) -> None:
    for name in ("Source", "Label", "Prediction", "Order"):
        assert visit.page.get_by_role("combobox", name=name, exact=True).is_visible()
    visit.page.get_by_role("searchbox", name="Words", exact=True).focus()
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.dataset.key") == "source"
