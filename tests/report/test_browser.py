"""The report in a real browser: `pip install selenium`, and Debian's chromium and chromium-driver.

What it is to those who cannot see it well, axe-core says: `npm install --no-save axe-core`.
"""

import shutil
from pathlib import Path

import pytest

import kertl
from kertl.cli._serve import _gallery
from kertl.report._server import application
from tests.families import small_backbone
from tests.report.test_report import photos
from tests.report.test_server import running
from tests.runs import quick, recipe

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromedriver") is None, reason="there is no chromedriver"),
]
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
NAMES = ["a class with a long name of several words", "bird", "cat"]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    data = kertl.data.from_csv(photos(folder, NAMES), image_size=(32, 32), validation=0.25, test=0.25, batch_size=8)
    model = kertl.build(small_backbone(), class_names=data.class_names)
    run = kertl.fine_tune(model, data, recipe=recipe(quick(epochs=3), quick("mid")), run_dir=folder / "run", verbose=0)
    return run.report()


@pytest.fixture(params=[(400, 800), (1280, 900)], ids=str)
def browser(request):
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    width, height = request.param
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    yield driver
    driver.quit()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_loads_whole_without_errors_and_does_not_scroll_sideways(page, browser, scheme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.get(page.as_uri())
    assert browser.get_log("browser") == []
    wide, window = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert wide <= window
    images = browser.execute_script("return [...document.images].map((one) => one.complete && one.naturalWidth > 0)")
    assert len(images) > 12
    assert all(images)
    ink, paper = browser.execute_script(
        "const style = getComputedStyle(document.body); return [style.color, style.backgroundColor]"
    )
    brighter = sum(map(int, paper[4:-1].split(","))) > sum(map(int, ink[4:-1].split(",")))
    assert brighter == (scheme == "light")
    assert browser.execute_script("return document.querySelectorAll('svg.chart').length") == 3


@pytest.mark.skipif(not AXE.exists(), reason="there is no axe-core")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(page, browser, scheme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.get(page.as_uri())
    browser.execute_script(AXE.read_text(encoding="utf-8"))
    found = browser.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
    assert len(found["passes"]) > 10
    faults = [(one["id"], one["impact"], one["nodes"][0]["html"][:200]) for one in found["violations"]]
    assert [fault for fault in faults if fault[1] in ("serious", "critical")] == []


def test_the_served_page_shows_answer_places_and_nearest_training_images(page, browser):
    run_dir = page.parent
    with running(application(own := kertl.load(run_dir), whole=lambda: (own, _gallery(own, run_dir, None)))) as address:
        browser.get(address)
        images = sorted(run_dir.parent.glob("*.png"))[::12]
        browser.find_element("id", "files").send_keys("\n".join(map(str, images)))
        WebDriverWait(browser, 60).until(lambda one: "answered" in one.find_element("id", "state").text)
        assert len(browser.find_elements("css selector", ".nearest figure")) == 3 * len(images)
        whole = browser.execute_script("return [...document.images].map((one) => one.complete && one.naturalWidth > 0)")
        assert len(whole) >= 4 * len(images)
        assert all(whole)
        wide, window = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert wide <= window
        assert [one for one in browser.get_log("browser") if "favicon" not in one["message"]] == []
