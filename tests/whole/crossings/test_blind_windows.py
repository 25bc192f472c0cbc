"""What happened while nobody looked: the whole program against the embedded exchange."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from fake_kraken import FakeKraken
from krakenlink.pairs import Symbol
from krakenlink.stream.events import FeedStale, SystemState, Tick, TradePrint, Trades
from tests.kits.program.live_program import PAIR, SYMBOL, LiveProgram, row, wait_until
from ttslo_app.messages import PolledPrice
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.run import live as ttslo_live
from ws_price_provider import feed_clock

BTC = Symbol(SYMBOL)
MOMENT = r"\d\d:\d\d:\d\dZ"
SPAN = rf"from {MOMENT} to {MOMENT}"


@pytest.fixture
def market(exchange: FakeKraken) -> FakeKraken:
    """Hand out an exchange on which BTC/USD stands at 50000 and trades."""
    exchange.set_prices(PAIR, ["50000"])
    return exchange


def spike(market: FakeKraken) -> None:
    """Let the price touch 51200 and come back."""
    market.set_prices(PAIR, ["50500", "51200", "50100"])


@pytest.mark.parametrize(("policy", "is_placed"), [("", 0), ("always", 1), ("notify", 0)])
def test_spike_during_a_reconnect_is_found_and_the_policy_decides(
    market: FakeKraken, tmp_path: Path, policy: str, is_placed: int
) -> None:
    """A threshold touched while the link was down is always told; `always` alone places."""
    with LiveProgram(market, tmp_path, [row("up", 51000, policy=policy)]) as program:
        program.reconnect(lambda: spike(market))
        said = program.wait_for_line("crossed 51000 at")
        assert re.search(rf"BTC/USD crossed 51000 at {MOMENT} while blind {SPAN}; ", said)
        if is_placed:
            assert program.crossing_of("up") == 51200
        market.set_prices(PAIR, ["50200"])
        program.reconnect()
        program.wait_for_line("no threshold was crossed" if not is_placed else "placed")
        assert market.placed_count() == is_placed


@pytest.mark.parametrize("policy", ["arm-if-beyond", "always"])
def test_crossing_that_stands_after_a_reconnect_is_one_order(
    market: FakeKraken, tmp_path: Path, policy: str
) -> None:
    """A price that is still beyond fires at once, and finding out why fires nothing more."""
    with LiveProgram(market, tmp_path, [row("up", 51000, policy=policy)]) as program:
        program.reconnect(lambda: market.set_prices(PAIR, ["51300"]))
        program.wait_for_line("while blind from")
        program.crossing_of("up")
        market.set_prices(PAIR, ["51400"])
        wait_until(lambda: market.count("AddOrder") >= 1, "an order")
        assert market.placed_count() == 1


def test_notify_places_nothing_until_a_crossing_is_seen(market: FakeKraken, tmp_path: Path) -> None:
    """A row that wants to be told only waits on the far side, and fires when crossed anew."""
    with LiveProgram(market, tmp_path, [row("up", 51000, policy="notify")]) as program:
        program.reconnect(lambda: market.set_prices(PAIR, ["51300"]))
        program.wait_for_line("as the row wants to be told only; it is armed again once")
        market.set_prices(PAIR, ["51400", "51500"])
        market.set_prices(PAIR, ["50900"])
        assert market.placed_count() == 0
        market.set_prices(PAIR, ["51001"])
        assert program.crossing_of("up") == 51001


def test_crossing_while_the_thread_of_the_stream_is_dead_is_one_while_blind(
    market: FakeKraken, tmp_path: Path
) -> None:
    """Nobody has cut the link, but nothing is proven either: the policy of the row decides."""
    with LiveProgram(market, tmp_path, [row("up", 51000, policy="notify")]) as program:
        provider = program.ttslo.kraken_api_readonly.price_provider()
        assert provider is not None
        program.reconnect()
        program.wait_for_line("no threshold was crossed while blind")
        away = market.fault("refuse_connect")
        provider.feed_thread.send(sys.exit)
        program.wait_for_line("for BTC/USD: defect: SystemExit. Reconnecting; ")
        market.set_prices(PAIR, ["51300"])
        away.clear()
        program.wait_for_line("as the row wants to be told only; it is armed again once")
        wait_until(lambda: len(program.log_lines("sees again after ")) == 2, "it is told of both")
        assert market.placed_count() == 0


@pytest.mark.parametrize(("policy", "is_placed"), [("arm-if-beyond", 0), ("always", 1)])
def test_spike_while_the_program_was_off_is_found(
    market: FakeKraken, tmp_path: Path, policy: str, is_placed: int
) -> None:
    """What was traded between two runs is walked through at the second one's start."""
    with LiveProgram(market, tmp_path, [row("up", 51000)]) as program:
        market.set_prices(PAIR, ["50010"])
    spike(market)
    with LiveProgram(market, tmp_path, when_blind=WhenBlind(policy)) as program:
        program.wait_for_line("BTC/USD crossed 51000 at")
        if is_placed:
            program.crossing_of("up")
        program.reconnect()
        assert market.placed_count() == is_placed


def test_lost_frame_is_seen_by_its_number_and_fetched(market: FakeKraken, tmp_path: Path) -> None:
    """A trade that the stream left out, though the link never broke, is asked for over REST."""
    with LiveProgram(market, tmp_path, [row("up", 51000, policy="always")]) as program:
        market.set_prices(PAIR, ["50010"])
        mute = market.fault("mute", symbol=SYMBOL)
        spike(market)
        mute.clear()
        market.set_prices(PAIR, ["50020"])
        program.wait_for_line("crossed 51000 at")
        assert program.crossing_of("up") == 51200


def test_hole_that_rest_cannot_close_is_said_and_closed_later(
    market: FakeKraken, tmp_path: Path
) -> None:
    """While Trades fails the program says what it does not know, and goes on asking."""
    with LiveProgram(market, tmp_path, [row("up", 51000, policy="always")]) as program:
        down = market.fault("http_502", endpoint="Trades")
        program.reconnect(lambda: spike(market))
        program.wait_for_line("it is not known yet what was traded while blind since")
        assert market.placed_count() == 0
        down.clear()
        program.crossing_of("up")
        assert len(program.log_lines("it is not known yet")) == 1


def test_trades_of_before_the_row_fire_nothing(market: FakeKraken, tmp_path: Path) -> None:
    """A row is not fired by what was traded before it was armed."""
    spike(market)
    with LiveProgram(market, tmp_path, [row("up", 51000, policy="always")]) as program:
        program.reconnect()
        program.wait_for_line("no threshold was crossed while blind")
        market.set_prices(PAIR, ["50020"])
        assert market.placed_count() == 0


def test_sweep_in_one_frame_counts_every_price(market: FakeKraken, tmp_path: Path) -> None:
    """Five trades in one frame are five prices, though the ticker shows the last only."""
    rows = [row("up", 50050), row("down", 49950, "below")]
    with LiveProgram(market, tmp_path, rows) as program:
        market.set_prices(PAIR, ["50010", "50060", "50000", "49940", "50000"])
        assert program.crossing_of("up") == 50060
        assert program.crossing_of("down") == 49940


# --- rows are live -------------------------------------------------------------------------------


def test_new_row_is_armed_while_the_program_runs(market: FakeKraken, tmp_path: Path) -> None:
    """A row that is added to the file is validated, armed, and fires."""
    with LiveProgram(market, tmp_path, [row("far", 90000)]) as program:
        program.write([row("far", 90000), row("new", 51000)])
        program.wait_for_watch("new")
        market.set_prices(PAIR, ["51000"])
        program.crossing_of("new")


@pytest.mark.parametrize("left", [[], [row("up", 51000).replace("true", "false")]])
def test_row_that_is_taken_away_fires_no_more(
    market: FakeKraken, tmp_path: Path, left: list[str]
) -> None:
    """A removed or disabled row is off the books before the next price is looked at."""
    with LiveProgram(market, tmp_path, [row("up", 51000), row("far", 52000)]) as program:
        program.write([row("far", 52000), *left])
        program.wait_for_line("up: no longer armed")
        program.wait_for_watch("up", is_armed=False)
        market.set_prices(PAIR, ["52000"])
        program.crossing_of("far")
        assert market.placed_count() == 1


def test_changed_row_takes_its_new_threshold(market: FakeKraken, tmp_path: Path) -> None:
    """The old threshold fires nothing any more, the new one does."""
    with LiveProgram(market, tmp_path, [row("up", 51000)]) as program:
        program.write([row("up", 52000)])
        program.wait_for_line("up: armed: BTC/USD at or above 52000")
        market.set_prices(PAIR, ["51500"])
        market.set_prices(PAIR, ["52000"])
        assert program.crossing_of("up") == 52000


def test_raised_threshold_is_not_fired_by_older_trades(market: FakeKraken, tmp_path: Path) -> None:
    """After an edit only trades since the edit count for the row, blind or not."""
    with LiveProgram(market, tmp_path, [row("up", 59000, policy="always")]) as program:
        market.set_prices(PAIR, ["50500", "50000"])
        program.write([row("up", 50400, policy="always")])
        program.wait_for_line("up: armed: BTC/USD at or above 50400")
        program.reconnect()
        program.wait_for_line("no threshold was crossed while blind")
        assert market.placed_count() == 0


# --- more than can be looked at ------------------------------------------------------------------


def test_crowd_costs_old_tickers_and_no_trade(market: FakeKraken, tmp_path: Path) -> None:
    """Of many waiting events the newest ticker of a market and every trade are kept, in order."""
    with LiveProgram(market, tmp_path, [row("far", 90000)]) as program:
        live = program.ttslo.live
        assert live is not None
        ticks = [Tick(BTC, Decimal(n), None, None, 0.0) for n in range(1, 4)]
        trades = [Trades(BTC, (), float(n)) for n in range(3)]
        crowd = [ticks[0], trades[0], ticks[1], trades[1], "other", ticks[2], trades[2]]
        assert live._thinned(crowd) == [trades[0], trades[1], "other", ticks[2], trades[2]]


def test_flood_of_trades_is_said_and_left_to_rest(market: FakeKraken, tmp_path: Path) -> None:
    """When even trades are too many the newest stays, whose number tells what to fetch."""
    with LiveProgram(market, tmp_path, [row("far", 90000)]) as program:
        live = program.ttslo.live
        assert live is not None
        flood: list[object] = [Trades(BTC, (), 0.0)] * 200_000
        last = Trades(BTC, (), 1.0)
        assert live._thinned([*flood, "other", last]) == ["other", last]
        program.wait_for_line("cannot keep up: 200002 events wait")


class Stall(SystemState):
    """Something that keeps the thread that reads prices busy until it is let go."""

    is_met: threading.Event
    go: threading.Event

    def __init__(self) -> None:
        for name in ("is_met", "go"):  # what it stands for is frozen
            object.__setattr__(self, name, threading.Event())

    @property
    def system(self) -> str:
        """What Kraken's engine is, when it is let go."""
        self.is_met.set()
        assert self.go.wait(60)
        return "online"


@contextmanager
def stalled(program: LiveProgram) -> Iterator[ttslo_live.LiveRun]:
    """Let nothing be looked at inside."""
    live, stall = program.ttslo.live, Stall()
    assert live is not None
    live._inbox.put(stall)
    assert stall.is_met.wait(60)
    yield live
    stall.go.set()


def test_trades_that_were_too_many_are_a_blind_time(
    market: FakeKraken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crossing among trades that nobody could keep up with is found, told, and acted upon."""
    monkeypatch.setattr(ttslo_live, "_CROWD", 10)
    monkeypatch.setattr(ttslo_live, "_FLOOD", 20)
    with LiveProgram(market, tmp_path, [row("up", 51000, policy="always")]) as program:
        market.set_prices(PAIR, ["50010"])
        with stalled(program) as live:
            for price in [50500, 51200, *range(50100, 50120)]:
                market.set_price(PAIR, price)
            # A frame of trades and a ticker for each.
            wait_until(lambda: live._inbox.qsize() >= 44, "all of them wait")
        assert program.crossing_of("up") == 51200
        assert re.search(f"while blind {SPAN}; ", program.wait_for_line("crossed 51000 at"))
        program.wait_for_line("cannot keep up: ")


def test_falling_behind_is_told_and_so_is_its_end(market: FakeKraken, tmp_path: Path) -> None:
    """Prices that are looked at late are a warning, once, until they are not."""
    with LiveProgram(market, tmp_path, [row("far", 90000)]) as program:
        live = program.ttslo.live
        assert live is not None
        now = feed_clock()
        for at in [now - 10, now - 10, now + 60, now + 60]:
            live._inbox.put(Trades(BTC, (), at))
        program.wait_for_line("keeps up again")
        assert len(program.log_lines("cannot keep up: looks at prices ")) == 1


def test_sleep_of_the_machine_is_blind_from_its_begin(market: FakeKraken, tmp_path: Path) -> None:
    """A link that is found dead after an hour's sleep was blind for that hour."""
    with LiveProgram(market, tmp_path, [row("far", 90000)]) as program:
        live = program.ttslo.live
        assert live is not None
        tapes = live.watch._blind.tapes
        market.set_prices(PAIR, ["50010"])
        wait_until(lambda: not tapes[SYMBOL].is_open, "the start was looked back over")
        since = time.time() - 3600
        live._inbox.put(FeedStale(feed_clock(), "the machine slept", feed_clock() - 3600))
        told = program.wait_for_line("the machine slept. Reconnecting")
        moments = [f"{datetime.fromtimestamp(since + late, UTC):%H:%M:%SZ}" for late in (-1, 0, 1)]
        assert any(told.startswith(f"blind since {moment} for BTC/USD") for moment in moments)
        assert abs((tapes[SYMBOL].blind_from or 0) - since) < 60


def test_what_waited_while_the_machine_slept_is_no_price_of_now(
    market: FakeKraken, tmp_path: Path
) -> None:
    """A crossing that was received before the lid closed is left to the look back."""
    with LiveProgram(market, tmp_path, [row("up", 51000)]) as program:
        live, slept = program.ttslo.live, feed_clock() - 3600
        assert live is not None
        beyond = Decimal(51300)
        moment = datetime.now(UTC).isoformat()
        prints = (TradePrint(BTC, beyond, Decimal(1), 10**9, moment),)
        live._inbox.put(Tick(BTC, beyond, None, None, slept))
        live._inbox.put(Trades(BTC, prints, slept))
        market.set_price(PAIR, 51001)
        assert program.crossing_of("up") == 51001


def test_poll_that_is_answered_after_the_stream_is_back_counts_no_more(
    market: FakeKraken, tmp_path: Path
) -> None:
    """The proven price of the stream is newer than what was asked for while it was away."""
    with LiveProgram(market, tmp_path, [row("up", 51000)]) as program:
        live = program.ttslo.live
        assert live is not None
        markets = live.watch.markets.values()
        wait_until(lambda: not live._streams.unstreamed(markets), "the stream's price is proven")
        live._inbox.put(PolledPrice(SYMBOL, Decimal(51300), feed_clock()))
        market.set_price(PAIR, 51001)
        assert program.crossing_of("up") == 51001


@pytest.mark.parametrize("fault", ["cached_reply", "old_reply"])
def test_old_answers_prove_no_absence_of_a_crossing(
    market: FakeKraken, tmp_path: Path, fault: str
) -> None:
    """Trades out of a cache, marked or not, end before the spike: nobody calls that time quiet."""
    with LiveProgram(market, tmp_path, [row("up", 51000, policy="always")]) as program:
        at_the_start = [program.wait_for_line("threshold was crossed while blind")]
        market.set_prices(PAIR, ["50010"])

        def spike_behind_a_cache() -> None:
            market.fault(fault, endpoint="Trades")
            spike(market)

        program.reconnect(spike_behind_a_cache)
        market.set_prices(PAIR, ["50020"])
        program.wait_for_line("it is not known yet what was traded while blind")
        assert program.log_lines("threshold was crossed while blind") == at_the_start
        assert market.placed_count() == 0
        market.clear_faults()
        said = program.wait_for_line("crossed 51000 at")
        assert "while blind" in said
        assert program.crossing_of("up") == 51200
