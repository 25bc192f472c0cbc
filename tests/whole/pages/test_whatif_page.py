"""The page of `ttslo whatif` in a real Chromium: drawn, quiet, and asking nobody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kits.histories.history_kit import BEGAN, SECOND, walk
from tests.kits.signs.browser_kit import Reader, browser, needs_browser
from ttslo_app.whatif import command as whatif

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = needs_browser

HEADER = "id,pair,threshold_price,threshold_type,direction,volume,trailing_offset_percent,enabled\n"
ROWS = (
    "up,BTC/USD,50200,above,sell,0.01,1.0,true\n"
    "dip,BTC/USD,49500,below,buy,0.01,1.5,true\n"
    "far,BTC/USD,900000,above,sell,0.01,1.0,true\n"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Have the command write a page with everything on it, as its user would."""
    folder = tmp_path_factory.mktemp("whatif")
    past = walk(3, 900)
    (folder / "config.csv").write_text(HEADER + ROWS)
    rows = (f"{BEGAN // SECOND + 10 * n},{past.price_at(n)},0.1\n" for n in range(len(past)))
    (folder / "XBTUSD.csv").write_text("".join(rows))
    argv = ["--config", str(folder / "config.csv"), "--trades", str(folder / "XBTUSD.csv")]
    argv += ["--sweep", "threshold=-1%..1%:5", "offset=0.5%..3%:6"]
    assert whatif.main([*argv, "--html", str(folder / "report.html")]) == 0
    return folder / "report.html"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Hand out the one browser of these tests."""
    with browser() as made:
        yield made


@contextmanager
def looking(chromium: Browser, page: Path, *, is_phone: bool = False) -> Iterator[Reader]:
    """Look at the page; in the end nothing in it has complained, and it has asked nobody."""
    context = chromium.new_context(
        viewport={"width": 390, "height": 844} if is_phone else {"width": 1280, "height": 900},
        color_scheme="dark" if is_phone else "light",
    )
    try:
        reader, asked = Reader(context.new_page()), []
        reader.page.on("request", lambda request: asked.append(request.url))
        reader.page.goto(page.as_uri())
        reader.see("document.querySelectorAll('.chart .main-svg').length >= 6")
        yield reader
        assert reader.complaints == []
        assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [page.as_uri()]
    finally:
        context.close()


def test_every_chart_is_drawn(chromium: Browser, page: Path) -> None:
    """Prices with stops and ends, the map of the sweep with its warning, and the noise.

    A cell of the map tells its numbers to whoever points at it.
    """
    with looking(chromium, page) as reader:
        for name in ("prices", "heat0", "noise"):
            reader.see("name => document.querySelector(`#${name} .main-svg`) !== null", name)
        for place, text in (
            ("#prices .legend", "up: threshold"),
            ("#heat0 .gtitle", "In sample: 30 tries"),
            ("#noise .gtitle", "Noise of this pair alone"),
        ):
            reader.see(
                "([s, t]) => document.querySelector(s).textContent.includes(t)", [place, text]
            )
        reader.see("document.querySelectorAll('#prices .scatterlayer .points path').length >= 4")
        assert "never" in reader.text("table")
        cell = reader.page.locator("#heat0 .heatmaplayer image").first
        cell.scroll_into_view_if_needed()
        cell.hover(force=True)
        reader.see("document.querySelector('#heat0 .hoverlayer').textContent.includes('offset')")


def test_phone_in_the_dark_shows_it_whole(chromium: Browser, page: Path) -> None:
    """Nothing hangs over the edge but what scrolls by itself, and the text can be read."""
    with looking(chromium, page, is_phone=True) as reader:
        reader.see("document.documentElement.scrollWidth <= window.innerWidth")
        colour = "getComputedStyle(document.body).color"
        assert reader.page.evaluate(colour) == "rgb(255, 255, 255)"
