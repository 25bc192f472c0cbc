"""`ttslo price` against an embedded exchange: prices, their source, and why there is none."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from fake_kraken import FakeKraken
from krakenlink.rest.quotes import Quote
from tests.kits.program.program_process import PAIR, SYMBOL, wait_until
from ttslo_app.commands import price
from ttslo_app.commands.price import as_object, line_of

Lines = Callable[[], list[str]]


@pytest.fixture(autouse=True)
def addresses(exchange: FakeKraken, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command meet the exchange; there are no keys."""
    monkeypatch.setenv("KRAKEN_SPOT_URL", exchange.rest_url)
    monkeypatch.setenv("KRAKEN_WS_PUBLIC_URL", exchange.ws_url)


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the objects that were printed."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def quote(**changes: Any) -> Quote:
    """Return a price of the stream."""
    values: dict[str, Any] = {
        "pair": "XBTUSD",
        "symbol": "BTC/USD",
        "price": Decimal("50000.10"),
        "bid": Decimal(50000),
        "ask": None,
        "source": "websocket",
        "at": 0.0,
        "proven_age": 0.26,
    }
    return Quote(**{**values, **changes})


class Following:
    """`ttslo price --follow` on a thread, and the lines that it prints."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
        self.lines: list[str] = []
        self.codes: list[int] = []
        self._stop = threading.Event()
        monkeypatch.setattr(price, "put", self.lines.append)
        argv = [SYMBOL, "--follow", *flags]
        self._thread = threading.Thread(
            target=lambda: self.codes.append(price.main(argv, stop=self._stop))
        )
        self._thread.start()

    def wait_for(self, text: str) -> str:
        """Wait for a line that holds `text`."""
        wait_until(lambda: any(text in line for line in self.lines), lambda: f"{self.lines}")
        return next(line for line in self.lines if text in line)

    def end(self) -> int:
        """Let it end; return its exit code."""
        self._stop.set()
        self._thread.join(60)
        return self.codes[0]


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Following]]:
    """Hand out what follows prices, and end it."""
    made: list[Following] = []

    def begin(*flags: str) -> Following:
        made.append(Following(monkeypatch, *flags))
        return made[-1]

    yield begin
    for one in made:
        one.end()


def test_price_of_the_stream_names_source_and_age(capsys: pytest.CaptureFixture[str]) -> None:
    """Any spelling of the pair will do, and no key is needed."""
    assert price.main(["xbtusd"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("BTC/USD ")
    assert "50000" in out
    assert "stream, proven 0." in out


def test_price_over_rest_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Where streaming is not wanted, or not there."""
    assert price.main([SYMBOL, "--no-websocket"]) == 0
    assert "REST, proven 0." in capsys.readouterr().out


def test_unknown_pair_is_told_its_nearest_and_the_others_their_prices(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One slip of the hand costs the rest nothing but the exit code."""
    assert price.main(["BTC/UDS", SYMBOL]) == 1
    out, err = capsys.readouterr()
    assert "BTC/USD" in out
    assert "the nearest are BTC/USD" in err


@pytest.mark.parametrize("level", [logging.NOTSET, logging.DEBUG, logging.ERROR])
def test_library_logs_again_once_the_command_is_done(level: int) -> None:
    """A program that calls the command keeps the log that it has set up, also after a failure."""
    logger = logging.getLogger("krakenlink")
    before = logger.level
    try:
        logger.setLevel(level)
        assert price.main(["BTC", "--no-websocket"]) == 1
        assert logger.level == level
        with pytest.raises(SystemExit):
            price.main(["--nonsense"])
        assert logger.level == level
    finally:
        logger.setLevel(before)


def test_asset_alone_is_answered_with_its_price_in_money(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`ttslo price BTC` is told what to write."""
    assert price.main(["BTC"]) == 1
    assert "the nearest are BTC/USD" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "   ", "\x1b[2J"])
def test_what_is_no_name_has_a_sentence(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And does nothing to the terminal."""
    assert price.main([name]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "no price: " in err
    assert "\x1b" not in err


def test_exchange_that_is_not_there_has_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback, and no price."""
    monkeypatch.setenv("KRAKEN_SPOT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("KRAKEN_WS_PUBLIC_URL", "ws://127.0.0.1:9")
    assert price.main([SYMBOL]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("BTC/USD: no price: ")
    assert err.count("\n") == 1


def test_json_has_an_object_for_each_pair_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    """The one without a price among them, with the reason."""
    assert price.main(["ETH/USD", "BTC/UDS", SYMBOL, "--json"]) == 1
    objects = told(capsys)
    assert [one["pair"] for one in objects] == ["ETH/USD", "BTC/UDS", SYMBOL]
    assert objects[1]["price"] is None
    assert "nearest" in objects[1]["error"]
    assert Decimal(objects[2]["price"]) == 50000


def test_pair_that_is_named_twice_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody wants two."""
    assert price.main([SYMBOL, SYMBOL, "--json"]) == 0
    assert len(told(capsys)) == 1


def test_follow_tells_each_new_price(
    follow: Callable[..., Following], exchange: FakeKraken
) -> None:
    """Until it is ended, which is a good end."""
    following = follow()
    following.wait_for("50000")
    exchange.set_price(PAIR, "50123.4")
    exchange.set_price(PAIR, "50124.5")
    assert "stream" in following.wait_for("50123.4")
    following.wait_for("50124.5")
    assert following.end() == 0


def test_follow_tells_no_price_twice(
    follow: Callable[..., Following], exchange: FakeKraken
) -> None:
    """A tick that moved only bid or ask is no new price."""
    following = follow()
    following.wait_for("50000")
    exchange.set_price(PAIR, "50000")
    exchange.set_price(PAIR, "50123.4")
    following.wait_for("50123.4")
    assert sum("50000" in line for line in following.lines) == 1


def test_follow_goes_on_over_rest_when_the_stream_is_gone(
    follow: Callable[..., Following], exchange: FakeKraken
) -> None:
    """And says that it does."""
    following = follow("--json")
    following.wait_for("50000")
    exchange.fault("refuse_connect")
    exchange.drop_connections()
    exchange.set_price(PAIR, "50200")
    assert json.loads(following.wait_for("50200"))["source"] == "REST"


def test_line_is_aligned_and_within_80_columns() -> None:
    """So that a column of prices can be read at a glance."""
    line = line_of(quote())
    assert line == "BTC/USD             50000.1  stream, proven 0.3 s ago"
    assert len(line_of(quote(symbol=None, source="rest"))) <= 80


def test_object_has_every_field_that_is_documented() -> None:
    """Prices as text, so that no digit is lost; what is not told is null."""
    told = as_object("XBTUSD", quote())
    del told["at"]
    assert told == {
        "schema": 1,
        "pair": "XBTUSD",
        "symbol": "BTC/USD",
        "price": "50000.10",
        "bid": "50000",
        "ask": None,
        "source": "stream",
        "age": 0.26,
        "error": None,
    }
