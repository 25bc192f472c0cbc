"""The live page in a real Chromium, over the whole program and the embedded exchange."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_kraken import FakeKraken
from tests.kits.program.live_program import PAIR, LiveProgram, row
from tests.kits.signs.browser_kit import Reader, browser, needs_browser
from tests.kits.signs.sign_kit import connection, event, order, snapshot
from tests.kits.signs.sign_kit import row as shown_row
from tests.kits.signs.web_kit import FIGURES, TOKEN, moment, served
from ttslo_app.face.web.guard import Guard
from ttslo_app.face.web.server import WebServer
from ttslo_app.run.by_hand import Hands
from ttslo_app.signs.beat import Signs
from ttslo_app.signs.page import serving
from ttslo_app.signs.snapshots import About

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = needs_browser

# How often the sentence at the top becomes another, and how often that is read aloud.
COUNT_WORDS = """() => {
  window.words = { verdict: 0, spoken: 0 };
  for (const id of Object.keys(window.words)) {
    const counts = () => { window.words[id] += 1; };
    const what = { childList: true, characterData: true, subtree: true };
    new MutationObserver(counts).observe(document.getElementById(id), what);
  }
}"""
# Where it is set, pictures are left in that folder to be looked at.
PICTURES = os.environ.get("PAGE_PICTURES")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Hand out the one browser of these tests."""
    with browser() as made:
        yield made


@contextmanager
def looking(chromium: Browser, url: str, *, is_phone: bool = False) -> Iterator[Reader]:
    """Look at a page, on a phone in the dark; in the end nothing in it has complained."""
    context = chromium.new_context(
        viewport={"width": 390, "height": 844} if is_phone else {"width": 1280, "height": 900},
        color_scheme="dark" if is_phone else "light",
    )
    try:
        reader = Reader(context.new_page())
        reader.page.goto(url)
        yield reader
        assert reader.complaints == []
    finally:
        context.close()


@contextmanager
def running(
    exchange: FakeKraken,
    folder: Path,
    port: int,
    rows: list[str] | None = None,
    *,
    acts: bool = False,
) -> Iterator[str]:
    """Run the program with its page, which may do something where it `acts`; return its place."""
    with LiveProgram(exchange, folder, rows) as program:
        about = About("LIVE", "the embedded exchange", "config.csv", "state.csv", "1.0.0")
        signs = Signs(program.ttslo, about, folder / "state.csv.status.json")
        server = WebServer(port, Guard())
        hands = Hands(program.ttslo) if acts else None
        with serving(server, program.ttslo, signs, hands), signs.over():
            yield server.url


def picture(reader: Reader, name: str) -> None:
    """Leave a picture where somebody wants one."""
    if PICTURES:
        (Path(PICTURES) / f"{name}.png").write_bytes(reader.page.screenshot(full_page=True))


def wait_for_text(reader: Reader, selector: str, text: str) -> None:
    """Wait until a part of the page says a text."""
    reader.see("([s, t]) => document.querySelector(s).textContent.includes(t)", [selector, text])


def test_page_tells_of_several_connections_and_of_the_one_that_is_down(
    chromium: Browser,
) -> None:
    """In the words of the terminal; nothing of it where there is one."""
    torn = (connection(), connection("2", down_for=5.0))
    with served() as server, looking(chromium, server.url) as reader:
        server.show(moment(0))
        wait_for_text(reader, "#row-list", "118000")
        assert not reader.page.locator("#spread").is_visible()
        server.show(moment(1, connections=torn))
        wait_for_text(reader, "#spread", "2 DOWN for 5 s")
        assert reader.page.get_attribute("#spread", "class") == "bad"


def test_page_shows_an_order_its_stop_and_its_fill_and_outlives_a_restart(
    chromium: Browser, exchange: FakeKraken, tmp_path: Path
) -> None:
    """As somebody sees it who keeps it open all day."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    rows = [row("up", 50500), row("far", 52000)]
    first = running(exchange, tmp_path, port, rows)
    with looking(chromium, first.__enter__()) as reader:
        wait_for_text(reader, "#spoken", "runs and sees")
        reader.page.evaluate(COUNT_WORDS)
        reader.see("() => document.querySelectorAll('line.level').length === 2")
        exchange.set_prices(PAIR, ["50500"])
        reader.see("() => document.querySelector('[data-kind=\"order placed\"]')")
        for price, stop in (("50700", "50649.3"), ("50900", "50849.1"), ("51100", "51048.9")):
            exchange.set_price(PAIR, price)
            wait_for_text(reader, "#stop-list", stop)
        reader.see("() => document.querySelector('path.stop').dataset.points >= 3")
        picture(reader, "stop")
        exchange.set_prices(PAIR, ["51000"])
        reader.see("() => document.querySelector('[data-kind=\"order filled\"]')")
        wait_for_text(reader, "#events", "is filled")
        # The seconds that go by are not read aloud, but a change is.
        reader.see("() => window.words.verdict > window.words.spoken + 2")
        first.__exit__(None, None, None)
        wait_for_text(reader, "#verdict", "NOT RUNNING: it was stopped")
        assert reader.page.title().startswith("(!)")
        wait_for_text(reader, "#spoken", "NOT RUNNING")
        picture(reader, "stopped")
        with running(exchange, tmp_path, port):
            wait_for_text(reader, "#verdict", "runs and sees")
            wait_for_text(reader, "#row-list", "closed")
            # What it was told before the restart is still to be seen.
            assert "is filled" in reader.text("#events")
            reader.see("() => document.querySelector('[data-kind=\"order filled\"]')")
            exchange.stop_listening()
            exchange.drop_connections()
            wait_for_text(reader, "#verdict", "BLIND: no proven price for far")
            wait_for_text(reader, "#row-list", "blind")
            picture(reader, "blind")
            exchange.resume()
            wait_for_text(reader, "#verdict", "runs and sees")


def test_page_fits_a_phone_and_can_be_used_without_a_mouse(chromium: Browser) -> None:
    """Nothing is wider than the screen, and a chart is read with the arrow keys."""
    with served() as server, looking(chromium, server.url, is_phone=True) as reader:
        for number in range(4):
            server.show(moment(number))
            wait_for_text(reader, "#row-list", str(118000 + number))
        width = reader.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390
        picture(reader, "phone")
        dark = "getComputedStyle(document.body).backgroundColor"
        assert reader.page.evaluate(dark) == "rgb(20, 23, 26)"
        reader.page.focus("figure[data-pair='BTC/USD']")
        reader.page.keyboard.press("Home")
        wait_for_text(reader, "figure[data-pair='BTC/USD'] output", ": 118000")
        reader.page.keyboard.press("ArrowRight")
        wait_for_text(reader, "figure[data-pair='BTC/USD'] output", ": 118001")
        reader.page.keyboard.press("Escape")
        reader.see("() => !document.querySelector('line.cursor')")


def test_text_of_rows_is_text_and_silence_is_said(chromium: Browser) -> None:
    """A name can do nothing in the page; and a program that hangs does not look alive."""
    evil = "<img src=x onerror=alert(1)>"
    told = snapshot(
        rows=(shown_row(evil, pair=evil, detail=evil), shown_row(state="refused", price=None)),
        orders=(order(row=evil, txid=evil),),
        events=(event(evil, "ERROR"),),
    )
    with served() as server, looking(chromium, server.url) as reader:
        server.show(told)
        wait_for_text(reader, "#row-list", evil)
        wait_for_text(reader, "#events", evil)
        assert reader.page.evaluate("document.querySelectorAll('img').length") == 0
        wait_for_text(reader, "#verdict", "NO WORD from the program since")
        assert reader.page.get_attribute("#verdict", "class") == "bad"


def test_token_is_asked_for_and_opens_the_page(chromium: Browser) -> None:
    """By the form, once for this browser."""
    with served(Guard(token=TOKEN), FIGURES) as server:
        context = chromium.new_context()
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(server.url)
        page.fill("#token", TOKEN)
        page.press("#token", "Enter")
        page.wait_for_selector("#row-list", state="attached")
        server.show(moment(0))
        page.wait_for_selector("text=btc_top")
        assert page.evaluate("document.cookie") == ""  # no script can read it
        context.close()


def test_row_is_fired_and_its_order_cancelled_by_the_page(
    chromium: Browser, exchange: FakeKraken, tmp_path: Path
) -> None:
    """Each only after its question is answered with yes; a no leaves everything as it is."""
    exchange.set_price(PAIR, "50000")
    with (
        running(exchange, tmp_path, 0, [row("up", 52000)], acts=True) as url,
        looking(chromium, url) as reader,
    ):
        page = reader.page
        page.click("[aria-label='fire up']")
        wait_for_text(reader, "#question", "its trailing stop is placed NOW")
        picture(reader, "question")
        page.click("dialog button[value='no']")
        assert exchange.placed_count() == 0
        page.click("[aria-label='fire up']")
        wait_for_text(reader, "#question", "Fire up")
        page.click("#yes")
        wait_for_text(reader, "#done", "up")
        wait_for_text(reader, "#stop-list", "up")
        assert exchange.placed_count() == 1
        page.click("[aria-label='cancel up']")
        wait_for_text(reader, "#question", "PROTECTED NO MORE")
        page.click("#yes")
        wait_for_text(reader, "#events", "cancel")
        exchange.wait_for(lambda e: e.orders[0]["status"] == "canceled", 60.0)
        assert [one["status"] for one in exchange.orders] == ["canceled"]
