"""Snapshots of the whole program against an embedded exchange, and what is told of its stops."""

from __future__ import annotations

import os
import socket
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from tests.kits.program.live_program import HEADER, PAIR, PATIENT, LiveProgram, row, wait_until
from tests.kits.signs.sign_kit import snapshot
from ttslo_app.face.snapshot import MOST_EVENTS, MOST_ROWS, Snapshot, decoded, encoded, judged
from ttslo_app.messages import AcceptedRule, Kind, Market, Said
from ttslo_app.orders.life import OrderSettings
from ttslo_app.rules.rule import read_rule
from ttslo_app.signs.snapshots import (
    About,
    Teller,
    connections_of,
    is_alive,
    snapshot_path,
    stop_of,
)

if TYPE_CHECKING:
    from ttslo_app.run.program import Program

ABOUT = About("LIVE", "somewhere", "config.csv", "state.csv", "1.0.0")


def teller_of(live: LiveProgram) -> Teller:
    """Return what takes snapshots of a program."""
    return Teller(live.ttslo, ABOUT, 1000.0)


@pytest.fixture
def live(exchange: FakeKraken, tmp_path: Path) -> Iterator[LiveProgram]:
    """Hand out a program that waits for one crossing at 51000, with a row that is refused."""
    rows = [row("btc", 51000), row("far", 90000), row("bad", "fifty")]
    with LiveProgram(exchange, tmp_path, rows) as program:
        yield program


def proven(teller: Teller) -> Snapshot:
    """Wait until the stream has told a price, and return the snapshot that shows it."""
    wait_until(lambda: teller.snapshot().rows[0].source == "stream", "the stream tells a price")
    return teller.snapshot()


def test_armed_rows_have_price_distance_and_proof(live: LiveProgram) -> None:
    """By the stream, of this moment."""
    taken = proven(teller_of(live))
    btc = taken.rows[0]
    assert (btc.id, btc.pair, btc.state, btc.source) == ("btc", "BTC/USD", "armed", "stream")
    assert btc.condition == "at or above 51000"
    assert btc.action == "sell 0.01, trailing 0.1 %"
    assert Decimal(btc.price or 0) == 50000
    assert btc.away == pytest.approx(2.0)
    assert btc.age is not None
    assert 0 <= btc.age < 60
    assert taken.armed == 2


def test_program_is_told_of_as_it_is(live: LiveProgram) -> None:
    """Which process, since when, and that its link lives; and that it sees."""
    taken = proven(teller_of(live))
    assert (taken.pid, taken.host, taken.started_at) == (os.getpid(), socket.gethostname(), 1000.0)
    assert (taken.phase, taken.link, taken.mode) == ("running", "live", "LIVE")
    assert judged(taken, taken.written_at, is_alive=is_alive(taken)).code == 0
    assert decoded(encoded(taken)) == taken


def test_several_connections_are_told_and_which_is_down(
    exchange: FakeKraken, tmp_path: Path
) -> None:
    """Each with what it carries; where there is one, as in all tests here, there are none."""
    settings = replace(PATIENT, gather_for=0.0, pool_symbols=1)
    reading = KrakenAPI(base_url=exchange.rest_url, ws_url=exchange.ws_url, feed_settings=settings)
    rows = [row("btc", 51000), "eth,ETH/USD,90000,above,sell,0.1,0.1,true,"]
    with LiveProgram(exchange, tmp_path, rows, clients=(reading, None)) as program:
        teller = teller_of(program)
        wait_until(lambda: len(teller.snapshot().connections) == 3, "it spreads")
        whole = proven(teller)
        assert [(x.name, x.subscriptions) for x in whole.connections] == [
            ("1", 2), ("2", 2), ("pairs", 1)
        ]  # fmt: skip
        exchange.fault("refuse_connect")
        provider = reading.price_provider()
        assert provider is not None
        provider.pool.branches[0].feed_thread.reconnect("the test cuts it")
        wait_until(lambda: teller.snapshot().is_torn, "one is down")
        torn = teller.snapshot()
        assert [x.name for x in torn.connections if x.down_for is not None] == ["2"]
        assert torn.link == "live"


def test_connection_beside_is_told_of_once_it_is_down(live: LiveProgram) -> None:
    """While it lives it is nobody's business."""
    health = live.ttslo.kraken_api_readonly.price_provider().health()
    pairs = replace(health, connection="pairs", blind_for=None)
    assert connections_of(replace(health, beside=(pairs,))) == ()
    torn = connections_of(replace(health, beside=(replace(pairs, blind_for=9.5),)))
    assert [(x.name, x.down_for) for x in torn] == [("1", None), ("pairs", 9.5)]


def test_refused_row_is_told_with_its_reason(live: LiveProgram) -> None:
    """Whoever looks at the table sees that it does not trade."""
    bad = next(one for one in teller_of(live).snapshot().rows if one.id == "bad")
    assert bad.state == "refused"
    assert "fifty" in bad.detail
    assert bad.price is None


def test_row_that_waits_for_another_one_is_told_with_its_reason(
    exchange: FakeKraken, tmp_path: Path
) -> None:
    """Which one it is that keeps it from being armed."""
    program = LiveProgram(exchange, tmp_path, ())
    program.waits = False
    rows = [f"{row('btc', 51000)},", f"{row('child', 40000, 'below')},btc"]
    text = "\n".join([f"{HEADER},after", *rows, ""])
    (tmp_path / "config.csv").write_text(text, encoding="utf-8")
    with program:
        told = {one.id: one for one in teller_of(program).snapshot().rows}
        assert told["child"].state == "not armed"
        assert told["child"].detail.startswith("waits until btc has fired and its order is filled")


def test_no_secret_is_in_it(live: LiveProgram, exchange: FakeKraken) -> None:
    """Neither a key nor its secret."""
    text = encoded(teller_of(live).snapshot()).decode()
    assert exchange.api_key not in text
    assert exchange.api_secret not in text


def test_row_whose_price_is_lost_is_blind(live: LiveProgram, exchange: FakeKraken) -> None:
    """As soon as nothing proves it any more; REST, which is gone too, would heal it."""
    teller = teller_of(live)
    proven(teller)
    exchange.fault("refuse_connect")
    exchange.fault("error", endpoint="Ticker", text="EService:Unavailable")
    exchange.drop_connections()
    wait_until(lambda: teller.snapshot().blind == ["btc", "far"], "both rows are blind")


def test_stop_follows_kraken_and_what_was_seen_since(
    live: LiveProgram, exchange: FakeKraken
) -> None:
    """It says where the stop stands now, how far that is, and who says so."""
    teller = teller_of(live)
    exchange.set_price(PAIR, "51000")
    wait_until(lambda: teller.snapshot().orders, "its order stands")
    exchange.set_price(PAIR, "52000")

    def is_there() -> bool:
        orders = teller.snapshot().orders
        return bool(orders) and orders[0].stop == "51948.0"

    wait_until(is_there, "the stop follows the price")
    (order,) = teller.snapshot().orders
    assert order.row == "btc"
    assert order.txid == exchange.orders[0]["txid"]
    assert Decimal(order.best or 0) == 52000
    assert order.told_by in ("Kraken", "computed")
    assert order.away == pytest.approx(0.1)
    assert next(one for one in teller.snapshot().rows if one.id == "btc").state == "placed"


def test_stop_that_kraken_has_not_told_yet_is_computed(
    exchange: FakeKraken, tmp_path: Path
) -> None:
    """From the prices that were proven since; a look at Kraken may be a minute away."""
    settings = OrderSettings(watch=600.0)
    with LiveProgram(exchange, tmp_path, [row("btc", 51000)], settings=settings) as live:
        for endpoint in ("OpenOrders", "QueryOrders"):
            exchange.fault("error", endpoint=endpoint, text="EService:Unavailable")
        teller = teller_of(live)
        exchange.set_price(PAIR, "51000")
        wait_until(lambda: teller.snapshot().orders, "its order stands")
        live.ttslo.worker.ledger.stops = {}
        exchange.set_price(PAIR, "52000")

        def sees(price: int) -> bool:
            return Decimal(teller.snapshot().orders[0].price or 0) == price

        wait_until(lambda: sees(52000), "the price is seen")
        exchange.set_price(PAIR, "51990")
        wait_until(lambda: sees(51990), "it falls a little")
        (order,) = teller.snapshot().orders
        assert Decimal(order.best or 0) == 52000
        assert Decimal(order.stop or 0) == 51948
        assert order.told_by == "computed"


def test_before_it_watches_it_is_starting(exchange: FakeKraken, tmp_path: Path) -> None:
    """And nothing is said to be armed."""
    taken = teller_of(LiveProgram(exchange, tmp_path, [row("btc", 51000)])).snapshot()
    assert (taken.phase, taken.armed, taken.rows) == ("starting", 0, ())


def test_after_its_end_it_is_stopped(live: LiveProgram) -> None:
    """Whatever its rows were."""
    teller = teller_of(live)
    teller.is_over = True
    assert teller.snapshot().phase == "stopped"


def test_only_the_nearest_of_many_rows_are_told(exchange: FakeKraken, tmp_path: Path) -> None:
    """The file stays small, and says how many are left out."""
    rows = [row(f"r{n}", 60000 + n) for n in range(MOST_ROWS + 20)]
    with LiveProgram(exchange, tmp_path, [*rows, row("near", 50500)]) as live:
        teller = teller_of(live)
        wait_until(lambda: teller.snapshot().rows[0].id == "near", "the nearest comes first")
        taken = teller.snapshot()
        assert len(taken.rows) == MOST_ROWS
        assert taken.left_out == 21
        assert taken.armed == MOST_ROWS + 21


def teller_of_many(count: int) -> Teller:
    """Return what takes snapshots of a program with so many armed rows and no price."""
    one = dict(zip(HEADER.split(","), row("r", 60000).split(","), strict=True))
    entry = AcceptedRule(read_rule(one), Market("BTC/USD", "XXBTZUSD"))
    names = [f"r{number}" for number in range(count)]
    watch = SimpleNamespace(seats=dict.fromkeys(names), last={})
    live = SimpleNamespace(watch=watch, orderless=dict, armed=dict)
    ledger = SimpleNamespace(rules=dict.fromkeys(names, entry), standing={}, stops={})
    program = SimpleNamespace(
        live=live,
        worker=SimpleNamespace(ledger=ledger),
        kraken_api_readonly=SimpleNamespace(price_provider=lambda: None),
        validation=None,
    )
    return Teller(cast("Program", program), ABOUT, 1000.0)


def test_snapshot_of_very_many_rows_copies_none() -> None:
    """It is taken each second or two, while prices come: of 100,000 rows a copy would be 20 MB."""

    def most_in_hand(count: int) -> int:
        teller = teller_of_many(count)
        tracemalloc.start()
        try:
            taken = teller.snapshot()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert (taken.armed, taken.left_out) == (count, count - MOST_ROWS)
        return peak

    most_in_hand(200)  # what is made once
    few = most_in_hand(10_000)
    assert most_in_hand(40_000) < 2 * few


# --- events --------------------------------------------------------------------------------------


def heard(live: LiveProgram, *said: Said) -> list[str]:
    """Return the texts of the events after some words."""
    teller = teller_of(live)
    for one in said:
        teller.hear(one)
    return [event.text for event in teller.snapshot().events]


def said(text: str, level: str = "INFO", kind: Kind = Kind.OTHER) -> Said:
    """Return something that was said."""
    return Said(kind, level, "", text, 1000.0)


def test_last_events_are_kept_in_order(live: LiveProgram) -> None:
    """The newest at the end, and no more than a person reads."""
    words = [said(f"word {n}") for n in range(MOST_EVENTS + 5)]
    texts = heard(live, *words)
    assert texts == [f"word {n}" for n in range(5, MOST_EVENTS + 5)]


def test_details_and_what_the_table_says_are_no_events(live: LiveProgram) -> None:
    """They would push out what matters."""
    details = [said("detail", "DEBUG"), said("alive", kind=Kind.STANDING)]
    assert heard(live, *details, said("placed")) == ["placed"]


def test_endless_words_are_cut(live: LiveProgram) -> None:
    """The file stays small."""
    (text,) = heard(live, said("x" * 100_000))
    assert len(text) <= 500


# --- the pure parts ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("best", "offset", "is_sell", "stop"),
    [("52000", "+0.5%", True, "51740"), ("52000.0", "+0.5%", True, "51740.0"),
     ("100.00", "+2.5%", False, "102.50"), ("0.00001234", "+10.0%", True, "0.00001111"),
     ("52000.0", "+250", True, "51750.0"), ("100.00", "+2.5", False, "102.50")],
)  # fmt: skip
def test_stop_trails_the_best_price(best: str, offset: str, is_sell: bool, stop: str) -> None:
    """Below it for a sell, above it for a buy, with its digits."""
    assert str(stop_of(Decimal(best), offset, is_sell=is_sell)) == stop


def test_snapshot_lies_beside_the_state_and_a_dry_run_has_its_own() -> None:
    """Else a rehearsal would overwrite what the real one says."""
    assert snapshot_path("a/state.csv") == Path("a/state.csv.status.json")
    assert snapshot_path("state.csv", is_dry=True) == Path("state.csv.dry-run.status.json")


@pytest.mark.skipif(os.name == "nt", reason="there a process cannot be asked for by its number")
def test_process_is_looked_for_by_its_number() -> None:
    """On this machine alone: a number means nothing on another."""
    here = {"host": socket.gethostname()}
    assert is_alive(snapshot(pid=os.getpid(), **here)) is True
    assert is_alive(snapshot(pid=2**22 + 12345, **here)) is False
    assert is_alive(snapshot(pid=2**80, **here)) is False
    assert is_alive(snapshot(pid=1, **here)) is True
    assert is_alive(snapshot(pid=0, **here)) is None
    assert is_alive(snapshot(pid=os.getpid(), host="elsewhere")) is None


def test_mode_that_changes_is_that_of_the_moment(live: LiveProgram) -> None:
    """A host leads now and follows a minute later; the page and `status` say which."""
    modes = iter(["FOLLOWS", "LEADS"])
    teller = Teller(live.ttslo, replace(ABOUT, now=lambda: next(modes)), 1000.0)
    assert [teller.snapshot().mode for _ in range(2)] == ["FOLLOWS", "LEADS"]
    assert teller_of(live).snapshot().mode == "LIVE"
