"""The pages in a real browser: Debian's Chromium, without network, as a reader uses them."""

import csv
import io
import os
import re
import shutil
from base64 import b64encode
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import matplotlib.image
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from conftest import Project

REPORT = "reports/simulated/report.html"
PAGES = [REPORT, "data/simulated/data_docs.html", "reports/index.html"]
LOOKS = {
    "light": {"viewport": {"width": 1280, "height": 900}},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
    "without scripts": {"java_script_enabled": False},
}
SCREENSHOTS = Path(__file__).parent / "screenshots"
BLOCK = 6
"""Pixels along a side of the blocks of which a stored screenshot holds the mean colours."""
DEJAVU = Path(matplotlib.get_data_path()) / "fonts/ttf"
FONT = "* { font-family: 'own' !important }" + "".join(
    f"@font-face {{ font-family: 'own'; font-weight: {weight};"
    f" src: url(data:font/ttf;base64,{b64encode((DEJAVU / name).read_bytes()).decode()}) }}"
    for weight, name in (("400", "DejaVuSans.ttf"), ("700", "DejaVuSans-Bold.ttf"))
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        message = "`chromium` is missing: install the package chromium"
        if os.environ.get("CI") or os.environ.get("ONCOPIXEL_CI"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        # A container has no user namespaces for the sandbox; the pages are our own.
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def folder(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of a project, as they lie in it."""
    made = tmp_path_factory.mktemp("pages")
    for name in PAGES[:2]:
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(finished.folder / name, made / name)
    finished.cli("list", "--quick", "--html", str(made / PAGES[2]))
    return made


def opened(browser: Browser, file: Path, look: str = "light", **more: bool) -> Page:
    """The page, once it is drawn; whatever the browser complains of or asks for fails the test."""
    context = browser.new_context(**LOOKS[look], locale="en-GB", accept_downloads=True, **more)
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.complaints.append(request.url))
    page.goto(file.as_uri())
    page.complaints.remove(file.as_uri())
    page.complaints = [text for text in page.complaints if not text.startswith("data:image/")]
    if file.name == "report.html" and look != "without scripts":
        expect(page.locator("#plots svg")).to_be_visible()
        expect(page.locator("#list_wrapper .dt-search input")).to_be_visible()
    return page


@pytest.fixture
def report(browser: Browser, folder: Path) -> Iterator[Page]:
    page = opened(browser, folder / REPORT)
    yield page
    page.context.close()
    assert page.complaints == []


def rows(page: Page) -> int:
    """Rows of the list that are left by search and selection."""
    told = page.locator("#list_wrapper .dt-info").inner_text()
    return int(re.search(r"of ([\d,]+) entr", told)[1].replace(",", ""))


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
@pytest.mark.parametrize("file", PAGES)
def test_axe_finds_nothing(browser: Browser, folder: Path, file: str, look: str) -> None:
    page = opened(browser, folder / file, look)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    found = Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.context.close()
    assert page.complaints == []


def test_the_answer_and_the_numbers_are_on_the_first_screen(report: Page) -> None:
    answer = report.locator(".answer").bounding_box()
    table = report.locator("#answer table thead").bounding_box()
    assert answer["y"] + answer["height"] < 500
    assert table["y"] < 900
    assert report.locator(".simulated").is_visible()
    day = datetime.fromtimestamp(Path(urlsplit(report.url).path).stat().st_mtime).astimezone()
    assert report.locator("header").inner_text().count(f"written on {day.day} {day:%B %Y}") == 1


def test_the_list_sorts_searches_and_downloads(report: Page) -> None:
    n = rows(report)
    assert n > 0
    gene = report.locator("#list tbody th").first.inner_text().strip()
    report.locator("#list thead th", has_text="effect (g)").click()
    shown = report.locator("#list tbody tr td:nth-of-type(3)").all_inner_texts()
    effects = [float(text.split(" ")[0]) for text in shown]
    assert effects == sorted(effects)
    with report.expect_download() as download:
        report.locator("#list_wrapper .dt-button").click()
    assert download.value.suggested_filename == "markers.csv"
    table = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8-sig"))))
    assert len(table) == n
    assert gene in {row["gene"] for row in table}
    assert "share of the resamples" in report.locator("#list th[title*=resamples]").get_attribute(
        "title"
    )


def test_data_checks_are_linked_to_and_sort(report: Page) -> None:
    report.locator("#data a").click()
    expect(report).to_have_title("simulated: data checks")
    report.complaints.remove(report.url)
    suite = report.locator("table.data").last
    suite.locator("thead th", has_text="check").first.click()
    checks = suite.locator("tbody th").all_inner_texts()
    assert checks == sorted(checks, key=str.casefold)
    assert len(checks) > 3


def test_plots_and_list_are_one(report: Page) -> None:
    n = rows(report)
    gene = report.locator("#list tbody th").first.inner_text().strip()
    search = report.locator("#list_wrapper .dt-search input")
    search.fill(gene)
    assert rows(report) < n or n == 1
    expect(report.locator("#plots text", has_text=gene)).not_to_have_count(0)
    assert report.locator("#plots text", has_text=gene).count() % 2 == 0  # in either plot
    search.fill("")
    report.locator("#plots").scroll_into_view_if_needed()
    listed = report.locator("#plots path[opacity='0.9']").first
    listed.hover(force=True)
    expect(report.locator("#vg-tooltip-element")).to_contain_text("effect")
    listed.click(force=True)
    expect(search).not_to_have_value("")
    search.fill("")
    report.evaluate("document.getElementById('plots').scrollIntoView()")
    box = report.locator("#plots svg").bounding_box()
    left, top = box["x"] + 120, box["y"] + 20
    report.mouse.move(left, top)
    report.mouse.down()
    report.mouse.move(left + box["width"] / 3, top + 200, steps=5)
    report.mouse.up()
    expect(report.locator("#list_wrapper")).to_contain_text(re.compile("filtered from|Not on"))
    report.mouse.dblclick(left + box["width"] / 2, top + 20)
    expect(report.locator("#list_wrapper .dt-info")).not_to_contain_text("filtered")


def test_without_scripts_it_is_a_plain_page(browser: Browser, folder: Path) -> None:
    page = opened(browser, folder / REPORT, "without scripts")
    assert page.locator("#list tbody tr").count() > 0
    assert page.locator("img.plain, .plain img").first.is_visible()
    assert not page.locator("#plots").is_visible()
    assert "Search below" not in page.locator("main").inner_text()
    page.context.close()


def test_on_a_phone_the_first_column_stays(browser: Browser, folder: Path) -> None:
    page = opened(browser, folder / REPORT, "phone")
    first = page.locator("#list tbody th").first
    before = first.bounding_box()["x"]
    page.evaluate(
        "for (let at = document.getElementById('list'); at.id != 'main'; at = at.parentElement)"
        " at.scrollLeft = 120"
    )
    assert abs(first.bounding_box()["x"] - before) < 2
    assert page.locator("#list tbody td").first.bounding_box()["x"] < before + 100
    page.context.close()


def test_on_paper_it_is_short(report: Page) -> None:
    paper = report.pdf(
        format="A4", margin=dict.fromkeys(("top", "bottom", "left", "right"), "12mm")
    )
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) <= 8
    report.emulate_media(media="print")
    assert not report.locator("nav").first.is_visible()


def test_the_keyboard_reaches_the_answer_first(report: Page) -> None:
    report.keyboard.press("Tab")
    link = report.locator(":focus")
    assert link.inner_text() == "Skip to the answer"
    link.press("Enter")
    assert report.url.endswith("#main")
    assert report.locator("main").count() == 1


def seen(browser: Browser, file: Path, look: str) -> np.ndarray:
    """`(height, width, 3)` in 0 to 1: the first screen, in a font that is the same everywhere."""
    page = opened(browser, file, look, bypass_csp=True)
    page.add_style_tag(content=FONT)
    page.evaluate("document.getElementById('written').textContent = ''")
    page.evaluate("document.fonts.ready")
    png = page.screenshot(animations="disabled")
    page.context.close()
    return matplotlib.image.imread(io.BytesIO(png))[..., :3]


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_the_first_screen_looks_as_it_did(browser: Browser, folder: Path, look: str) -> None:
    """By blocks of pixels. `ONCOPIXEL_SCREENSHOTS=new` stores a look that is meant."""
    page = seen(browser, folder / REPORT, look)
    height, width = (size // BLOCK for size in page.shape[:2])
    blocks = page[: height * BLOCK, : width * BLOCK].reshape(height, BLOCK, width, BLOCK, 3)
    blocks = blocks.mean(axis=(1, 3))
    stored = SCREENSHOTS / f"{look}.png"
    if os.environ.get("ONCOPIXEL_SCREENSHOTS") == "new":
        matplotlib.image.imsave(stored, blocks)
    expected = matplotlib.image.imread(stored)[..., :3]
    assert blocks.shape == expected.shape
    differs = abs(blocks - expected).max(axis=2) > 0.15
    assert differs.mean() < 0.01, f"{stored} is of another look"


def test_dark_and_light_differ_in_colour_only(browser: Browser, folder: Path) -> None:
    light, again, dark = (seen(browser, folder / REPORT, of) for of in ("light", "light", "dark"))
    assert (light == again).all()
    assert light.shape == dark.shape
    assert light[2, 2].min() > 0.95
    assert dark[2, 2].max() < 0.2
    # ink is where ink was: what is drawn does not hang on the colours
    ink, other = (abs(shot - shot[2, 2]).max(axis=2) > 0.3 for shot in (light, dark))
    assert (ink ^ other).mean() < 0.05
