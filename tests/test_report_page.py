"""The page in headless Chromium, with every host name unknown: it loads, its sliders act, its p_flip is the package's.

A machine without Chromium, chromedriver or selenium fails these tests; `make test` leaves them out.
"""

from __future__ import annotations

import base64
import json
import math
import shutil

import numpy as np
import pytest

import qtaml_codesign as qc
from qtaml_codesign.report.page import report_page
from qtaml_codesign.report.runs import read_run
from tests.conftest import until
from tests.report_runs import HOSTILE, finish, hostile_card, scripts_of

pytestmark = pytest.mark.full

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
         "--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=1400,1000")

MOVE = """
const [name, value] = arguments, input = document.getElementById(name);
input.value = value;
input.dispatchEvent(new Event("input", {bubbles: true}));
"""
TOLD = "return {...document.getElementById(arguments[0]).dataset}"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    assert all(programs), "these tests need chromium and chromedriver (Debian: apt install chromium chromium-driver)"
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(programs[1]))
    driver.set_script_timeout(120)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_workload):
    """Pages of the 3 nm card, of cells that differ, of two runs, and of one whose texts are markup."""
    folder = tmp_path_factory.mktemp("pages")
    cards = {"plain": qc.load_card("3nm"), "dram": qc.load_card("dram_1t1c"), "hostile": hostile_card(),
             "table": qc.load_card("3nm").with_fields({"variation": {"thickness_sigma_nm": 0.03}}),
             "planes": qc.load_card("3nm").with_field("bit_planes", {7: {"barrier": {"thickness_nm": 2.1}}})}
    ends = {"dram": [5.5311, 5.533, 5.536]}
    runs = {name: read_run(finish(folder / f"run-{name}", tiny_workload, card, **(
        {"thickness_nm": ends[name]} if name in ends else {}))) for name, card in cards.items()}
    cells = read_run(finish(folder / "cells", tiny_workload, methods=("channel-optimised", "tac"), cells=(2, 3),
                            thickness_nm=[1.8, 2.0]))
    for name, run in runs.items():
        (folder / f"{name}.html").write_text(report_page([run]), encoding="utf-8")
    (folder / "several.html").write_text(report_page([runs["plain"], runs["hostile"], cells]), encoding="utf-8")
    return folder


def opened(browser, page, width=1400):
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                            {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False})
    browser.get_log("performance")
    browser.get(page.as_uri())
    assert until(lambda: browser.execute_script("return document.querySelectorAll('.main-svg').length") > 5)
    assert browser.get_log("browser") == []
    return json.loads(scripts_of(page.read_text(encoding="utf-8"))[0])["runs"]


def moved(browser, name, value):
    """The flip probability told after a slider was moved, once it stands there."""
    browser.execute_script(MOVE, name, value)
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    return browser.execute_script(TOLD, "run0-flips")


@pytest.mark.parametrize("name", ["plain", "dram", "hostile", "table", "planes", "several"])
@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_loads_without_a_word_on_the_console_and_without_a_network(browser, place, name, width):
    opened(browser, place / f"{name}.html", width)
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = {message["params"]["request"]["url"] for message in asked
            if message["method"] == "Network.requestWillBeSent"}
    assert {url for url in urls if not url.startswith(("file:", "data:", "blob:"))} == set()
    assert len({url for url in urls if url.startswith("file:")}) == 1
    across = browser.execute_script("return document.documentElement.scrollWidth")
    assert across <= width


@pytest.mark.parametrize(("name", "base"), [("plain", "3nm"), ("dram", "dram_1t1c"), ("table", "3nm")])
def test_fifty_slider_positions_agree_with_the_package(browser, place, name, base):
    (run,) = opened(browser, place / f"{name}.html")
    card = read_run(place / f"run-{name}").card
    rng, (least, most) = np.random.default_rng(7), np.log10(run["flips"]["ends_s"])
    seen = set()
    for nm, decade in zip(rng.uniform(*run["ends_nm"], 50), rng.uniform(least, most, 50), strict=True):
        moved(browser, "run0-thickness", float(nm))
        told = moved(browser, "run0-window", float(decade))
        at, window = float(told["nm"]), float(told["seconds"])
        truth = qc.flip_probability(card.with_field("window_s", window), at).log_probability
        assert abs(math.expm1(float(told["logp"]) - truth)) < 1e-9, (at, window)
        seen.add((at, window))
    assert len(seen) > 45


def test_sliders_move_what_is_told(browser, place):
    opened(browser, place / "plain.html")
    words = lambda: browser.execute_script("return document.querySelector('.here').textContent")  # noqa: E731
    before = words()
    moved(browser, "run0-budget", 1)
    assert "25 %" in words()
    moved(browser, "run0-budget", 0)
    assert "5 % buys" in words()
    longer = moved(browser, "run0-window", -5.0)
    shorter = moved(browser, "run0-window", -7.0)
    assert float(shorter["logp"]) < float(longer["logp"])
    assert words() != before
    browser.execute_script("document.querySelector('button').click()")
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    assert words() == before


def test_at_another_window_the_thinnest_oxide_keeps_its_flip_probability(browser, place):
    (run,) = opened(browser, place / "plain.html")
    answer = next(one for one in run["answers"] if one["status"] == "crossing")
    which = sorted({one["amount"] for one in run["answers"]}).index(answer["amount"])
    moved(browser, "run0-budget", which)
    window = float(moved(browser, "run0-window", -5.0)["seconds"])
    shown = browser.execute_script("return [...document.querySelectorAll('.here tbody tr')].map((row) => "
                                   "[...row.children].map((one) => one.textContent))")
    thin = float(next(row for row in shown if row[0] == answer["label"])[4])
    card = qc.load_card("3nm").with_field("window_s", window)
    assert thin == pytest.approx(qc.thickness_for(card, answer["p"]), abs=0.5e-3)


def test_cells_apart_tell_nothing_of_the_network_at_another_window(browser, place):
    opened(browser, place / "planes.html")
    moved(browser, "run0-window", -7.0)
    assert "not measured here" in browser.execute_script("return document.querySelector('.here').textContent")


def test_markup_in_names_is_shown_as_it_is(browser, place):
    opened(browser, place / "hostile.html")
    assert browser.execute_script("return document.querySelectorAll('img').length") == 0
    assert HOSTILE in browser.execute_script("return document.querySelector('h2').textContent")
    opened(browser, place / "several.html")
    legend = browser.execute_script("return document.querySelector('.compared .legend').textContent")
    assert "<img src=x onerror=alert(1)>" in legend


def test_every_control_has_a_name_and_text_is_dark_on_light(browser, place):
    opened(browser, place / "several.html")
    unnamed = browser.execute_script(
        "return [...document.querySelectorAll('input')].filter((one) => !one.labels.length || "
        "!one.getAttribute('aria-valuetext')).length")
    assert unnamed == 0
    colours = browser.execute_script("""
        return [...document.querySelectorAll("article *:not(svg *)")].filter((one) => one.children.length === 0 &&
            one.textContent.trim() && one.offsetParent).map((one) => getComputedStyle(one).color)""")
    assert len(colours) > 50
    for colour in set(colours):
        red, green, blue = (int(part) / 255 for part in colour[colour.index("(") + 1:-1].split(",")[:3])
        light = sum(share * (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4)
                    for share, part in ((0.2126, red), (0.7152, green), (0.0722, blue)))
        assert 0.92 / (light + 0.05) > 4.5, colour  # against the wash of the controls; WCAG 2.2, AA


def test_it_prints_to_pdf(browser, place):
    opened(browser, place / "several.html")
    printed = base64.b64decode(browser.print_page())
    assert printed.startswith(b"%PDF-")
    assert printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") > 5
