"""The running program over real sockets: from ticks to orders, and what a person is told."""

from __future__ import annotations

import re
import threading
from decimal import Decimal
from pathlib import Path

import pytest

from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from krakenlink.pairs import Symbol
from krakenlink.stream.events import SymbolRefused
from tests.kits.program.live_program import PAIR, PATIENT, LiveProgram, row, wait_until
from ttslo_app.messages import PolledPrice
from ttslo_app.run.program import Program
from ws_price_provider import feed_clock

ETH = row("eth", 3500).replace("BTC/USD", "ETH/USD")


@pytest.fixture
def market(exchange: FakeKraken) -> FakeKraken:
    """Hand out an exchange on which BTC/USD stands at 50000 and ETH/USD at 3000."""
    exchange.set_price(PAIR, "50000")
    exchange.set_price("XETHZUSD", "3000")
    return exchange


class Polling(LiveProgram):
    """A run that follows no stream of trades."""

    def is_streaming(self) -> bool:
        return True


def wait_for_check(program: LiveProgram, rule_id: str = "up") -> None:
    """Wait until Kraken was asked whether it would take the row's order: one AddOrder less."""
    program.wait_for_line(f"{rule_id}: Kraken would take its order")


def levels(program: LiveProgram, part: str) -> set[str]:
    """Return the levels at which the log says `part`."""
    return {row["level"] for row in program.log_rows(part)}


# --- a row that is armed, or changes ----------------------------------------------------------

FULL = "armed: BTC/USD at or above {}, now 50000 ({} % away); then sell 0.01, trailing 0.1 %"


def test_row_that_is_appended_changed_or_enabled_is_told_in_full(
    market: FakeKraken, tmp_path: Path
) -> None:
    """However a row comes to be armed: threshold, price and distance are said, and once."""
    off = row("off", 53000).replace("true", "false")
    with LiveProgram(market, tmp_path, [row("up", 51000)]) as program:
        program.write([row("up", 51000), off, row("new", 52000)])
        program.wait_for_line(f"new: {FULL.format(52000, '4.00')}")
        program.write([row("up", 51500), off, row("new", 52000)])
        program.wait_for_line(f"up: {FULL.format(51500, '3.00')}")
        program.write([row("up", 51500), row("off", 53000), row("new", 52000)])
        program.wait_for_line(f"off: {FULL.format(53000, '6.00')}")
        program.write([row("up", 51500), row("off", 53000)])
        said = program.wait_for_line("new: no longer armed")
        assert said == "new: no longer armed: BTC/USD at or above 52000 leads to no order any more"
        assert len(program.log_lines(" away); then sell 0.01, trailing 0.1 %")) == 4


def test_row_that_was_refused_and_is_mended_is_told_in_full(
    market: FakeKraken, tmp_path: Path
) -> None:
    """The refusal is said once however often the file is read, and so is its end."""
    bad = row("bad", "fifty")
    with LiveProgram(market, tmp_path, [row("up", 51000), bad]) as program:
        assert len(program.log_lines("bad: refused: ")) == 1
        program.write([row("up", 51000), bad, row("new", 52000)])
        program.wait_for_line("new: armed: ")
        assert len(program.log_lines("bad: refused: ")) == 1
        program.write([row("up", 51000), row("bad", 53000), row("new", 52000)])
        program.wait_for_line(f"bad: {FULL.format(53000, '6.00')}")


def test_row_that_waited_for_kraken_is_told_in_full_when_it_is_armed(
    market: FakeKraken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NOT ARMED YET is followed by armed, when the exchange is there."""
    monkeypatch.setattr("ttslo_app.run.loader._READ_AGAIN", 0.2)
    down = market.fault("http_502", endpoint="Ticker")
    program = Polling(market, tmp_path, [row("up", 51000)])
    program._is_armed = lambda: True  # type: ignore[method-assign]  # it is not, and that is the point
    with program:
        program.wait_for_line("up: NOT ARMED YET")
        down.clear()
        program.wait_for_line(f"up: {FULL.format(51000, '2.00')}")
        assert len(program.log_lines("up: NOT ARMED YET")) == 1


# --- from a tick to an order -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "threshold", "price"), [("above", 51000, 51000), ("below", 49000, 48999)]
)
def test_tick_that_crosses_places_the_order(
    market: FakeKraken, tmp_path: Path, kind: str, threshold: int, price: int
) -> None:
    """A price at the threshold or beyond is one order at that price; one before it is none."""
    with LiveProgram(market, tmp_path, [row("up", threshold, kind)]) as program:
        market.set_price(PAIR, "50900" if kind == "above" else "49100")
        market.set_price(PAIR, price)
        assert program.crossing_of("up") == price
        market.set_price(PAIR, price)
    assert market.placed_count() == 1


def test_order_keeps_to_the_steps_of_this_moment(market: FakeKraken, tmp_path: Path) -> None:
    """Kraken may coarsen them on any day: with those of the arming it would refuse the order."""
    fine = row("up", 51000).replace("0.01,", "0.01567891,")
    with LiveProgram(market, tmp_path, [fine]) as program:
        api = program.ttslo.kraken_api_readonly
        wait_until(lambda: api.listing.streamed(api.resolve_pair(PAIR)), "pairs are streamed")
        market.change_pair(PAIR, lot_decimals=3)
        wait_until(lambda: api.resolve_pair(PAIR).lot_decimals == 3, "it is known")
        market.set_price(PAIR, "51001")
        program.crossing_of("up")
    assert [order["vol"] for order in market.orders] == ["0.01500000"]


def test_minimum_that_kraken_raises_is_told_before_the_crossing(
    market: FakeKraken, tmp_path: Path
) -> None:
    """While there is time to change the row; and again once it would do."""
    with LiveProgram(market, tmp_path, [row("up", 51000)]) as program:
        wait_for_check(program)
        api = program.ttslo.kraken_api_readonly
        wait_until(lambda: api.listing.streamed(api.resolve_pair(PAIR)), "pairs are streamed")
        market.change_pair(PAIR, ordermin="0.02")
        told = program.wait_for_line("up: Kraken would REFUSE its order as things are")
        assert "EOrder:Order minimum not met" in told
        market.change_pair(PAIR, ordermin="0.001")
        program.wait_for_line("up: Kraken would take its order again")
        market.set_price(PAIR, "51001")
        program.crossing_of("up")


def test_pair_that_kraken_changes_while_another_host_leads_is_looked_at_afterwards(
    market: FakeKraken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its news is taken in meanwhile, and no order is asked about."""
    rests = threading.Event()
    monkeypatch.setattr(Program, "rests", property(lambda _: rests.is_set()))
    with LiveProgram(market, tmp_path, [row("up", 51000)]) as program:
        wait_for_check(program)
        api, live = program.ttslo.kraken_api_readonly, program.ttslo.live
        assert live is not None
        checks = live._checks
        assert checks is not None
        wait_until(lambda: api.listing.streamed(api.resolve_pair(PAIR)), "pairs are streamed")
        rests.set()
        market.change_pair(PAIR, ordermin="0.02")
        wait_until(lambda: checks._news, "the news is taken in")
        assert not program.log_lines("would REFUSE")
        rests.clear()
        program.wait_for_line("up: Kraken would REFUSE its order as things are")


def test_spike_of_one_tick_fires(market: FakeKraken, tmp_path: Path) -> None:
    """Up and back down before anybody could ask for the price: it fires all the same."""
    with LiveProgram(market, tmp_path, [row("up", 51000)]) as program:
        market.set_price(PAIR, "51200")
        market.set_price(PAIR, "50000")
        assert program.crossing_of("up") == 51200
    assert market.placed_count() == 1


def test_sweep_fires_each_row_at_its_own_price(market: FakeKraken, tmp_path: Path) -> None:
    """Of five trades in one frame each counts, and the orders follow one another in their order."""
    prices = [50100, 50200, 50300, 50400, 50500]
    rows = [row(f"up{price}", price) for price in prices]
    with LiveProgram(market, tmp_path, rows) as program:
        market.set_prices(PAIR, prices)
        assert [program.crossing_of(f"up{price}") for price in prices] == prices
        ids = [program.ttslo.state[f"up{price}"]["order_id"] for price in prices]
    assert [order["txid"] for order in market.orders] == ids


def test_order_goes_over_a_connection_that_was_open(
    market: FakeKraken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No handshake stands between the tick and the order."""
    is_warm, warm_up = threading.Event(), KrakenAPI.warm_up

    def warm_up_and_tell(api: KrakenAPI) -> None:
        warm_up(api)
        is_warm.set()

    monkeypatch.setattr(KrakenAPI, "warm_up", warm_up_and_tell)
    with LiveProgram(market, tmp_path, [row("up", 51000)]) as program:
        wait_for_check(program)
        assert is_warm.wait(60)  # the last of the keeper's calls: the connection is free
        open_before = {request.connection for request in market.requests}
        market.set_price(PAIR, "51001")
        program.crossing_of("up")
        sent = [r for r in market.requests if r.endpoint == "AddOrder"][-1]
    assert "validate" not in sent.params
    assert sent.connection in open_before


def test_slow_order_keeps_no_price_waiting(market: FakeKraken, tmp_path: Path) -> None:
    """While one order waits for its answer a spike of another pair is seen, and fires after it."""
    with LiveProgram(market, tmp_path, [row("up", 51000), ETH]) as program:
        wait_for_check(program)
        wait_for_check(program, "eth")
        market.fault("delayed_reply", endpoint="AddOrder", count=1, seconds=1.5)
        market.set_price(PAIR, "51001")
        assert market.wait_for(lambda e: e.placed_count() == 1)
        market.set_price("XETHZUSD", "3600")
        program.wait_for_watch("eth", is_armed=False)
        assert not program.ttslo.state["up"]["order_id"]
        market.set_price("XETHZUSD", "3000")
        assert program.crossing_of("eth") == 3600
        assert program.ttslo.state["up"]["order_id"]
    assert market.placed_count() == 2


# --- without a stream ------------------------------------------------------------------------


def test_symbol_that_is_refused_is_polled(market: FakeKraken, tmp_path: Path) -> None:
    """A pair that Kraken does not stream is told, and crosses over REST."""
    market.fault("refuse", symbol="BTC/USD")
    with Polling(market, tmp_path, [row("up", 51000)]) as program:
        told = program.wait_for_line("BTC/USD does not stream (")
        assert told.endswith("it is polled over REST")
        market.set_price(PAIR, "51001")
        assert program.crossing_of("up") == 51001
    assert market.placed_count() == 1


def test_poll_from_before_a_sleep_fires_nothing(market: FakeKraken, tmp_path: Path) -> None:
    """Without a stream, too, a price that has waited for an hour is no price of now."""
    market.fault("refuse", symbol="BTC/USD")
    with Polling(market, tmp_path, [row("up", 51000)]) as program:
        live = program.ttslo.live
        assert live is not None
        beyond = PolledPrice("BTC/USD", Decimal(51300), feed_clock() - 3600)
        live._inbox.put(beyond)
        market.set_price(PAIR, "51001")
        assert program.crossing_of("up") == 51001


def test_pair_whose_trades_alone_are_refused_is_asked_about_again_and_again(
    market: FakeKraken, tmp_path: Path
) -> None:
    """A wick between two tickers is found though Kraken streams the price and not the trades."""
    with LiveProgram(market, tmp_path, [row("up", 51000)]) as program:
        live = program.ttslo.live
        assert live is not None
        live._inbox.put(SymbolRefused(Symbol("BTC/USD"), "trade", "Not today", feed_clock()))
        program.wait_for_line("BTC/USD does not stream (Not today); it is polled over REST")
        asked = market.count("Trades")
        assert market.wait_for(lambda e: e.count("Trades") >= asked + 2)


def test_pair_that_streams_again_is_polled_no_more(market: FakeKraken, tmp_path: Path) -> None:
    """What was refused and is accepted later is told, and REST is left in peace."""
    market.fault("refuse", symbol="BTC/USD")
    with Polling(market, tmp_path, [row("up", 51000)]) as program:
        program.wait_for_line("BTC/USD does not stream (")
        market.clear_faults()
        market.drop_connections()
        program.wait_for_line("BTC/USD streams again")
        live = program.ttslo.live
        assert live is not None
        assert not live._streams.unstreamed(live.watch.markets.values())
        market.set_price(PAIR, "51001")
        assert program.crossing_of("up") == 51001


def test_no_price_from_anywhere_is_told_once(market: FakeKraken, tmp_path: Path) -> None:
    """Blind in both eyes is said, not at every poll; the order follows when one of them sees."""
    market.fault("refuse", symbol="BTC/USD")
    with Polling(market, tmp_path, [row("up", 51000)]) as program:
        program.wait_for_line("BTC/USD does not stream")
        down = market.fault("http_502", endpoint="Ticker")
        program.wait_for_line("no price over REST either, blind for BTC/USD")
        asked = market.count("Ticker")
        assert market.wait_for(lambda e: e.count("Ticker") > asked)
        market.set_price(PAIR, "51001")
        down.clear()
        assert program.crossing_of("up") == 51001
        assert len(program.log_lines("no price over REST either")) == 1


def test_blind_time_is_told_from_when_to_when(market: FakeKraken, tmp_path: Path) -> None:
    """A stream that is gone is told with its pairs, and so is its return."""
    with LiveProgram(market, tmp_path, [row("up", 51000)]) as program:
        away = market.fault("refuse_connect")
        market.drop_connections()
        told = program.wait_for_line(" Reconnecting; meanwhile prices come over REST every ")
        assert re.match(r"blind since \d\d:\d\d:\d\dZ for BTC/USD: ", told), told
        assert levels(program, " Reconnecting; meanwhile") == {"WARNING"}
        away.clear()
        program.wait_for_line("sees again after ")


def test_crossing_while_blind_is_polled(market: FakeKraken, tmp_path: Path) -> None:
    """While the stream cannot be had the REST price fires the row."""
    with LiveProgram(market, tmp_path, [row("up", 51000)]) as program:
        market.fault("refuse_connect")
        market.drop_connections()
        program.wait_for_line("blind since ")
        market.set_price(PAIR, "51001")
        assert program.crossing_of("up") == 51001
    assert market.ws_connections == 0


# --- edits -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "edited", [row("up", "51x00"), row("up", 51000).replace("sell", "hold"), row("up", "40000")]
)
def test_edit_that_does_not_pass_disarms_loudly(
    market: FakeKraken, tmp_path: Path, edited: str
) -> None:
    """A half-typed row trades neither as it is nor as it was, and that is said."""
    with LiveProgram(market, tmp_path, [row("up", 51000), row("far", 52000)]) as program:
        program.write([edited, row("far", 52000)])
        program.wait_for_line("It was armed until now and NO LONGER IS")
        program.wait_for_watch("up", is_armed=False)
        market.set_price(PAIR, "52000")
        program.crossing_of("far")
        wait_until(lambda: levels(program, "NO LONGER IS") == {"ERROR"}, "it is an error")
    assert market.placed_count() == 1


def test_row_that_is_mended_is_armed_again(market: FakeKraken, tmp_path: Path) -> None:
    """After an edit that did not pass the next good one counts."""
    with LiveProgram(market, tmp_path, [row("up", 51000), row("far", 90000)]) as program:
        program.write([row("up", "x"), row("far", 90000)])
        program.wait_for_watch("up", is_armed=False)
        program.write([row("up", 51500), row("far", 90000)])
        program.wait_for_watch("up")
        market.set_price(PAIR, "51200")
        market.set_price(PAIR, "51500")
        assert program.crossing_of("up") == 51500


def test_file_that_is_gone_for_a_moment_changes_nothing(market: FakeKraken, tmp_path: Path) -> None:
    """An editor that deletes and writes leaves the rows armed in between."""
    with LiveProgram(market, tmp_path, [row("up", 51000)]) as program:
        text = (tmp_path / "config.csv").read_bytes()
        (tmp_path / "config.csv").unlink()
        market.set_price(PAIR, "51001")
        program.crossing_of("up")
        program.wait_for_line("config.csv cannot be read just now")
        (tmp_path / "config.csv").write_bytes(text)
        program.wait_for_line("order O")
    assert market.placed_count() == 1


# --- what Kraken says ------------------------------------------------------------------------


def test_state_of_the_engine_is_told(market: FakeKraken, tmp_path: Path) -> None:
    """Maintenance is a warning, its end is news."""
    with LiveProgram(market, tmp_path, [row("up", 51000)]) as program:
        market.set_system_status("maintenance")
        told = program.wait_for_line("Kraken's trading engine is maintenance")
        assert told.endswith("orders are refused until it is online again")
        market.set_system_status("online")
        program.wait_for_line("Kraken's trading engine is online")


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        ("EOrder:Order minimum not met", "Raise the volume to the pair's minimum"),
        ("EOrder:Insufficient funds", "Deposit funds"),
    ],
)
def test_order_that_kraken_would_refuse_is_told_at_the_start(
    market: FakeKraken, tmp_path: Path, error: str, cure: str
) -> None:
    """What would fail at 3 a.m. is said now, with the cure, once; the row stays armed."""
    market.fault("error", endpoint="AddOrder", count=1, text=error)
    with LiveProgram(market, tmp_path, [row("up", 51000)]) as program:
        told = program.wait_for_line("up: Kraken would REFUSE its order as things are")
        assert error in told
        assert told.count(cure) == 1
        assert told.endswith("The row stays armed")
        market.set_price(PAIR, "51001")
        program.crossing_of("up")


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        ("EGeneral:Permission denied", "create an API key with 'Create & modify orders'"),
        ("EAPI:Invalid key", "key and secret swapped"),
    ],
)
def test_key_that_kraken_refuses_is_told_at_the_start(
    market: FakeKraken, tmp_path: Path, error: str, cure: str
) -> None:
    """Once for all rows, as the key is none of a row's doing; they stay armed."""
    market.fault("error", endpoint="AddOrder", count=1, text=error)
    with LiveProgram(market, tmp_path, [row("up", 51000), row("two", 52000)]) as program:
        told = program.wait_for_line("refuses the trading key, so NONE of the 2 rows is protected")
        assert error in told
        assert told.count(cure) == 1
        assert not program.log_lines("would REFUSE")
        market.set_price(PAIR, "51001")
        assert "up: " in program.wait_for_line("was crossed at 51001: NO ORDER yet")
        assert market.placed_count() == 0


def test_reading_key_that_kraken_refuses_is_told_at_the_start_and_done_without(
    market: FakeKraken, tmp_path: Path
) -> None:
    """The order is watched to its end with the key that placed it."""
    bad = KrakenAPI("bad", "YmFk", market.rest_url, ws_url=market.ws_url, feed_settings=PATIENT)
    with LiveProgram(market, tmp_path, [row("up", 51000)], clients=(bad, None)) as program:
        program.wait_for_line("The reading key is refused: EAPI:Invalid key. Orders are watched")
        market.set_price(PAIR, "51001")
        program.crossing_of("up")
        market.set_price(PAIR, "50000")
        program.wait_for_line("is filled: ")


def test_order_that_cannot_be_checked_is_not_called_refused(
    market: FakeKraken, tmp_path: Path
) -> None:
    """Checked and could not be checked are told apart."""
    market.fault("http_502", endpoint="AddOrder", count=1)
    with LiveProgram(market, tmp_path, [row("up", 51000)]) as program:
        program.wait_for_line("not asked yet whether Kraken would take the orders of up: ")
        assert not program.log_lines("would REFUSE")


def test_order_of_an_armed_row_is_checked_anew_in_time(market: FakeKraken, tmp_path: Path) -> None:
    """A key may be revoked on any day: hours after the start it is asked about once more."""
    with LiveProgram(market, tmp_path, [row("up", 51000)]) as program:
        wait_for_check(program)
        live = program.ttslo.live
        assert live is not None
        assert live._checks is not None
        market.fault("error", endpoint="AddOrder", count=1, text="EAPI:Invalid key")
        live._checks._renew_at = 0.0
        program.wait_for_line("Kraken refuses the trading key")


# --- the order afterwards --------------------------------------------------------------------


def test_order_is_watched_until_it_is_filled(market: FakeKraken, tmp_path: Path) -> None:
    """A stop that trails, triggers and fills is told with its price, and the row is closed."""
    with LiveProgram(market, tmp_path, [row("up", 51000)]) as program:
        market.set_price(PAIR, "51001")
        program.crossing_of("up")
        market.set_prices(PAIR, ["52000", "51900"])
        program.wait_for_line(" is filled: 0.01")
        wait_until(lambda: program.ttslo.state["up"]["rule_state"] == "closed", "it is closed")
        assert Decimal(program.ttslo.state["up"]["fill_price"]) == 51900


def test_order_that_somebody_cancels_is_told_as_an_error(
    market: FakeKraken, tmp_path: Path
) -> None:
    """A stop that is gone protects nothing: a person must know, and from what part on."""
    with LiveProgram(market, tmp_path, [row("up", 51000)]) as program:
        market.set_price(PAIR, "51001")
        program.crossing_of("up")
        (order,) = market.orders
        market.fill_order(order["txid"], part="0.25")
        program.wait_for_line(f"up: order {order['txid']} is partly filled: 0.0025")
        market.cancel_order(order["txid"])
        told = program.wait_for_line("was canceled (User requested) after 0.0025")
        assert told.endswith("The position is no longer protected")
        assert levels(program, "no longer protected") == {"ERROR"}


# --- the end ---------------------------------------------------------------------------------


def test_end_waits_for_an_order_under_way(market: FakeKraken, tmp_path: Path) -> None:
    """An answer that comes a second later is taken in, and both files name the order."""
    with LiveProgram(market, tmp_path, [row("up", 51000)]) as program:
        wait_for_check(program)
        market.fault("delayed_reply", endpoint="AddOrder", count=1, seconds=1.0)
        market.set_price(PAIR, "51001")
        assert market.wait_for(lambda e: e.placed_count() == 1)
    txid = market.orders[0]["txid"]
    assert txid in (tmp_path / "state.csv").read_text(encoding="utf-8")
    assert txid in (tmp_path / "config.csv").read_text(encoding="utf-8")


def test_end_writes_down_when_prices_were_last_seen(market: FakeKraken, tmp_path: Path) -> None:
    """An armed row's last price is a moment in UTC in the state."""
    with LiveProgram(market, tmp_path, [row("up", 51000)]) as program:
        market.set_price(PAIR, "50001")
        live = program.ttslo.live
        assert live is not None
        wait_until(live.last_checked, "a price was looked at")
    assert program.ttslo.state["up"]["last_checked"].endswith("+00:00")
