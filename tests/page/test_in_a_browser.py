"""The page in headless Chromium. AXE names axe-core's axe.min.js, where it does not lie in node_modules."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from conftest import ROOT
from small_page import make_results
from test_page import HOSTILE
from test_runs_page import figures, networks_of

from utils.graph.essential_graph import read_graph
from utils.page.graph_data import nodes_at
from utils.page.page import write_page, write_runs_page

PROPORTIONS = ("0.005", "0.1", "0.29", "0.55", "1")
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SWITCHES = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="module")
def browser():
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver, tempfile.TemporaryDirectory() as profile:
        started = driver.chromium.launch(executable_path=path, args=SWITCHES, env={**os.environ, "HOME": profile})
        yield started
        started.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """{"plain", "hostile", "runs": path of a page}, and the graph of the first."""
    root = tmp_path_factory.mktemp("browser")
    folder, graph = make_results(root / "plain")
    hostile, other = make_results(root / "hostile", HOSTILE)
    runs = write_runs_page(root / "comparison.html", networks_of(hostile, erased=figures(0.1, -0.01)))
    written = {"plain": write_page(folder, graph=graph), "hostile": write_page(hostile, graph=other)}
    return {**written, "runs": runs, "graph": graph}


@pytest.fixture
def visit(browser, pages):
    """A function that opens a page and returns it, with `.troubles`: errors, and requests that leave the page."""
    contexts = []

    def go(which="plain", width=1440, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page, troubles = context.new_page(), []
        page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
        own = pages[which].as_uri()
        outside = lambda request: request.url != own and not request.url.startswith("data:")  # noqa: E731
        page.on("request", lambda request: troubles.append(request.url) if outside(request) else None)
        page.goto(own)
        page.wait_for_selector("main" if which == "runs" else "circle.goes, circle.target", state="attached")
        page.troubles = troubles
        return page

    yield go
    for context in contexts:
        context.close()


def axe():
    """Text of axe-core, None where it is not at hand."""
    named = os.environ.get("AXE")
    path = Path(named) if named else ROOT / "node_modules" / "axe-core" / "axe.min.js"
    return path.read_text(encoding="utf-8") if path.is_file() else None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_the_page_fits_shows_its_pictures_and_asks_nobody(visit, width, scheme):
    for which, count in (("plain", 14), ("hostile", 14), ("runs", 0)):
        page = visit(which, width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        pictures = page.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 0)")
        assert len(pictures) == count and all(pictures)
        assert page.troubles == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(visit, scheme):
    rules = axe()
    if rules is None:
        pytest.skip("no axe-core: AXE=…/axe.min.js, or node_modules")
    page, runs = visit(scheme=scheme), visit("runs", scheme=scheme)
    page.locator("button[data-cell]").first.click()
    page.locator("[data-stage]").focus()
    page.keyboard.press("Enter")
    for opened in (page, runs):
        opened.evaluate(rules)  # not as a script of the page, whose policy refuses it
        found = opened.evaluate("axe.run().then(result => result.violations)")
        serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
        assert not serious, [(fault["id"], [node["html"][:120] for node in fault["nodes"][:3]]) for fault in serious]


def test_the_slider_gives_the_count_that_the_selection_gives(visit, pages):
    page, graph = visit(), read_graph(pages["graph"])
    count = page.locator("[data-count]")
    for rule in ("balance", "no_balance"):
        page.locator(f"[data-rule][value={rule}]").check()
        for proportion in PROPORTIONS:
            page.locator("[data-slider]").fill(proportion)
            expected = sum(map(len, nodes_at(graph, float(proportion), rule).values()))
            assert count.inner_text() == str(expected), (rule, proportion)
    page.locator("[data-exact]").fill("0.0371")  # between two places of the slider
    assert count.inner_text() == str(sum(map(len, nodes_at(graph, 0.0371, "no_balance").values())))
    page.locator("[data-exact]").fill("7")
    assert page.locator("[data-exact]").get_attribute("aria-invalid") == "true"


def test_the_layers_searched_for_stay_and_a_channel_lights_its_paths(visit):
    page = visit()
    assert page.locator("svg.network circle").count() == 70
    page.locator("[data-search]").fill("LAYER2")
    assert page.locator("svg.network circle").count() == 30
    page.locator("[data-search]").fill("")
    page.locator("svg.network circle.target").first.click()
    assert page.locator(".paths path").count() > 0 and page.locator("svg.network.lit circle.on").count() > 1
    page.get_by_role("button", name="Clear paths").click()
    assert page.locator(".paths path").count() == 0


def test_the_keyboard_alone_reaches_everything_and_uses_it(visit):
    page = visit()
    page.evaluate("""() => { let n = 0;
        for (const element of document.querySelectorAll('a[href], button, input, summary, [tabindex="0"]'))
            if (element.checkVisibility() && (element.type !== "radio" || element.checked))
                element.dataset.stop = n++; }""")
    wanted = set(page.evaluate("[...document.querySelectorAll('[data-stop]')].map(element => element.dataset.stop)"))
    reached = set()
    for _ in range(len(wanted) + 1):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.dataset.stop ?? ''"))
    assert wanted - reached == set() and len(wanted) > 30
    cell = page.locator("button[data-cell]").first
    cell.focus()
    page.keyboard.press("Enter")
    assert cell.get_attribute("aria-expanded") == "true"
    assert "beyond the" in page.locator(".heat").first.inner_text() and page.locator("svg.forest").count() == 1
    page.locator("[data-stage]").focus()
    for key in ("ArrowRight", "PageDown", "End", "Enter"):
        page.keyboard.press(key)
    assert "layer2.conv, channel" in page.locator("[data-graph] [data-details]").inner_text()
    assert page.locator("svg.network circle.here").count() == 1
