"""A program as its session commands it: the door, the fence, and what is handed to whom."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from krakenlink.errors import AuthenticationError, KeyDeposed, RateLimitError
from krakenlink.machine import feed_clock
from krakenlink.rest import gate
from tests.kits.hosts.memory_store import Line, MemoryStore
from tests.kits.orders.order_bench import life
from tests.kits.program.program_process import wait_until
from ttslo_app.cluster import sight
from ttslo_app.cluster.books import Books
from ttslo_app.cluster.copy import Copy
from ttslo_app.cluster.crew import Fencing
from ttslo_app.cluster.records import NONCE_BASE, Changed, Keys, life_text, row_text
from ttslo_app.cluster.session import BEAT
from ttslo_app.cluster.store import Change
from ttslo_app.commands import cli
from ttslo_app.hosts import reach
from ttslo_app.hosts.shared_files import SharedManager
from ttslo_app.hosts.standby import HostProgram, ShipsCrew
from ttslo_app.orders.ledger import cells_of
from ttslo_app.orders.life import RuleState
from ttslo_app.run.parts import Options

KEYS = Keys("prod")
EPOCH = NONCE_BASE + 2**32
ROW = {
    "id": "btc",
    "pair": "BTC/USD",
    "threshold_price": "51000",
    "threshold_type": "above",
    "direction": "sell",
    "volume": "0.01",
    "trailing_offset_percent": "0.5",
    "enabled": "true",
}


class Ship:
    """A host with its program, which is not started."""

    def __init__(self, exchange: FakeKraken, folder: Path) -> None:
        self.exchange, self.store = exchange, MemoryStore()
        self.copy = Copy(KEYS)
        self.books = Books(Line(self.store), self.copy, KEYS)
        self.store.commit(Change({}, {KEYS.row("btc"): row_text(ROW, 0, "t")}))
        self.copy.load(*self.store.list(KEYS.base))
        manager = SharedManager(
            "the rows", folder / "state.csv", folder / "logs.csv", self.copy, self.books
        )
        self.reading = KrakenAPI(base_url=exchange.rest_url, use_websocket=False)
        self.trading = KrakenAPI(
            exchange.api_key, exchange.api_secret, exchange.rest_url, use_websocket=False
        )
        options = Options()
        self.program = HostProgram(
            manager, self.reading, self.trading, options, self.copy, self.books
        )
        self.crew = ShipsCrew(self.program, self.trading, self.copy, self.books)

    def private_calls(self) -> list[str]:
        """Return the calls with a key that came in."""
        private = ("OpenOrders", "ClosedOrders", "AddOrder", "BalanceEx", "GetWebSocketsToken")
        return [r.endpoint for r in self.exchange.requests if r.endpoint in private]


@pytest.fixture
def ship(tmp_path: Path) -> Iterator[Ship]:
    """A host beside an exchange where BTC stands below its threshold."""
    gate._gates.clear()  # every test is a process of its own to the key
    with FakeKraken() as exchange:
        exchange.set_price("XXBTZUSD", "50000")
        ship = Ship(exchange, tmp_path)
        yield ship
        ship.reading.close()
        ship.trading.close()
    gate._gates.clear()  # the key of every exchange here is the same


def test_host_follows_from_its_first_moment_and_calls_nobody(ship: Ship) -> None:
    """Reading its rows and arming them needs no key; the key is refused before anything is sent."""
    program = ship.program
    assert program.rests
    assert ship.crew.is_following
    program.load_state()
    program.recover()
    program.check_config_file_changed()
    assert program.validate_and_load_config()
    assert program.worker.life_of("btc").state is RuleState.ARMED
    with pytest.raises(KeyDeposed):
        ship.trading.query_open_orders()
    assert ship.private_calls() == []
    assert ship.store.get(KEYS.life("btc")) is None


def test_fence_makes_kraken_refuse_all_lower_nonces(ship: Ship) -> None:
    """The call of the epoch is answered, and an older client with a clock's nonce is not."""
    assert ship.crew.fence(EPOCH) is Fencing.ANSWERED
    assert ship.private_calls() == ["OpenOrders"]
    assert not ship.crew.is_deposed
    with pytest.raises(AuthenticationError, match="Invalid nonce"):
        ship.trading._ask_with_nonce("OpenOrders", {}, EPOCH)
    with pytest.raises(AuthenticationError, match="Invalid nonce"):
        ship.trading._ask_with_nonce("OpenOrders", {}, time.time_ns())


def test_fence_below_what_kraken_has_seen_is_refused(ship: Ship) -> None:
    """Somebody is above: the epoch is not this host's, or the store went back in time."""
    assert ship.crew.fence(EPOCH + 2**33) is Fencing.ANSWERED
    assert ship.crew.fence(EPOCH) is Fencing.REFUSED  # known here, and nobody is asked
    assert len(ship.private_calls()) == 1
    ship.trading.gate._last = 0  # another process, which knows nothing of that
    ship.trading.gate._base = 0
    assert ship.crew.fence(EPOCH) is Fencing.REFUSED
    assert ship.crew.is_deposed
    assert len(ship.private_calls()) == 3


def test_fence_that_was_refused_by_mistake_is_asked_for_once_more(ship: Ship) -> None:
    """Nobody would lead the account again after a refusal, so one alone is not believed."""
    ship.exchange.fault("nonce_refused", endpoint="OpenOrders", count=1)
    assert ship.crew.fence(EPOCH) is Fencing.ANSWERED
    assert ship.private_calls() == ["OpenOrders"] * 2
    assert not ship.crew.is_deposed


@pytest.mark.parametrize(
    ("calls", "expected"), [(1, Fencing.ANSWERED), (2, Fencing.REFUSED), (9, Fencing.REFUSED)]
)
def test_epoch_that_may_have_had_an_order_is_never_led_again(
    calls: int, expected: Fencing, ship: Ship
) -> None:
    """A store of yesterday hands it out again: its first call was no order, any other may be."""
    for number in range(1, calls + 1):
        ship.trading.gate.reign(EPOCH + number - 1)
        ship.trading.query_open_orders()
    gate._gates.clear()  # another process, which knows nothing of that
    assert ship.crew.fence(EPOCH) is expected


def test_fence_that_is_refused_twice_is_refused(ship: Ship) -> None:
    """And is not asked for a third time, however often somebody comes back to it."""
    ship.exchange.fault("nonce_refused", endpoint="OpenOrders")
    for _ in range(3):
        assert ship.crew.fence(EPOCH) is Fencing.REFUSED
    assert ship.private_calls() == ["OpenOrders"] * 2


def test_fence_without_an_answer_is_none(ship: Ship) -> None:
    """It is asked again with the next nonce of the same epoch."""
    ship.exchange.fault("lost_reply", endpoint="OpenOrders", count=1)
    assert ship.crew.fence(EPOCH) is Fencing.UNASKED
    assert ship.crew.fence(EPOCH) is Fencing.ANSWERED


def test_take_up_opens_the_door_with_the_lives_of_the_store(ship: Ship) -> None:
    """The order thread goes by them, and may write."""
    ship.program.load_state()
    ship.program.check_config_file_changed()
    ship.program.validate_and_load_config()
    placed = {**cells_of(life(RuleState.PLACED)), "order_id": "OA", "noted": "true"}
    answer = ship.store.commit(
        Change({}, {KEYS.life("btc"): life_text(placed, "t"), KEYS.lead: b"lead"})
    )
    ship.copy.load(*ship.store.list(KEYS.base))
    assert ship.crew.fence(EPOCH) is Fencing.ANSWERED
    ship.crew.take_up(answer.version)
    assert not ship.crew.has_taken_up
    ship.program.worker.work_off()
    assert ship.crew.has_taken_up
    assert not ship.program.rests
    assert ship.program.worker.life_of("btc").order_id == "OA"
    assert ship.books.is_open


def test_cut_shuts_both_doors_at_once(ship: Ship) -> None:
    """Neither Kraken nor the store hears of this host any more, whatever its thread is at."""
    ship.crew.fence(EPOCH)
    ship.books.lead(7)
    ship.crew.cut()
    before = len(ship.private_calls())
    with pytest.raises(KeyDeposed):
        ship.trading.add_order("XBTUSD", "market", "buy", "1")
    assert len(ship.private_calls()) == before
    assert not ship.books.is_open


def test_follow_waits_for_the_order_thread(ship: Ship) -> None:
    """What it is at has ended when this returns."""
    ship.crew.fence(EPOCH)
    ship.crew.take_up(1)
    ship.program.worker.work_off()
    assert not ship.crew.is_following
    ship.crew.follow()
    assert ship.crew.is_following
    assert ship.program.rests


def test_what_others_write_reaches_the_order_thread(ship: Ship) -> None:
    """Lives do; of rows the reading of them takes care."""
    placed = {**cells_of(life(RuleState.PLACED)), "order_id": "OA"}
    ship.store.commit(Change({}, {KEYS.life("btc"): life_text(placed, "t")}))
    ship.copy.load(*ship.store.list(KEYS.base))
    ship.crew.changed(Changed(frozenset({"btc"}), frozenset({"btc", "gone"})))
    ship.program.worker.work_off()
    assert dict(ship.program.worker.standing) == {"btc": "OA"}


def test_host_that_has_not_begun_is_not_ready_and_not_blind(ship: Ship) -> None:
    """Nothing is asked of it before its rows are read."""
    assert not ship.crew.is_ready
    assert ship.crew.blind_for() == 0.0
    assert ship.crew.cut_off_for() == 0.0


def test_host_asks_kraken_without_its_key_and_knows_when_it_has_no_answer(ship: Ship) -> None:
    """The key is another host's, and may be used by nobody who only looks."""
    ship.program.reach.start()
    try:
        assert ship.exchange.wait_for(lambda exchange: exchange.count("Time") >= 1, 60)
        ship.exchange.fault("lost_reply", endpoint="Time")
        end = time.monotonic() + 60
        while not ship.crew.cut_off_for():
            assert time.monotonic() < end
            time.sleep(0.02)
        ship.exchange.clear_faults()
        while ship.crew.cut_off_for():
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        ship.program.reach.stop()
    assert ship.private_calls() == []


def test_host_whose_address_is_banned_is_cut_off_once_its_key_has_met_it(ship: Ship) -> None:
    """Of public calls alone it may be said to a host whose orders go through."""
    ship.crew.fence(EPOCH)
    ship.exchange.fault("http_429", endpoint="Time", seconds=0)
    asking = ship.program.reach
    asking._every = lambda: 0.0
    asking.start()

    def is_cut_off() -> bool:
        """Tell whether it counts since the first refusal; a question under way is younger."""
        since = asking._too_many_since
        assert since is not None
        age = feed_clock() - since
        return ship.crew.cut_off_for() >= age

    try:
        wait_until(lambda: asking._too_many_since, "the time is refused")
        assert not is_cut_off()
        ship.exchange.fault("http_429", endpoint="OpenOrders", count=1, seconds=0)
        with pytest.raises(RateLimitError):
            ship.trading.query_open_orders()
        assert is_cut_off()
        ship.trading.query_open_orders()
        assert not is_cut_off()
        ship.exchange.fault("http_429", endpoint="OpenOrders", count=1, seconds=0)
        assert ship.crew.fence(EPOCH + 100) is Fencing.UNASKED
        assert is_cut_off()
        ship.exchange.clear_faults()
        wait_until(lambda: asking._too_many_since is None, "the time is told again")
        assert asking.refused_for(ship.trading.gate.too_many_at) == 0.0
    finally:
        asking.stop()


def test_host_asks_more_often_the_more_hangs_on_it(ship: Ship) -> None:
    """Whoever leads must not find out by an order; whoever is blind wants to know why."""
    follows = ship.program._asks_every()
    ship.crew.fence(EPOCH)
    ship.crew.take_up(1)
    ship.program.worker.work_off()
    leads = ship.program._asks_every()

    class Blind:
        """A run that sees no price."""

        def sees_prices(self) -> bool:
            return False

    blind: Any = Blind()
    ship.program.live = blind
    assert ship.program._asks_every() < leads < follows


def test_host_asks_at_once_where_the_leader_has_no_answer(ship: Ship) -> None:
    """What all of them lack, all of them know of all before anybody gives the lead away."""

    class Others:
        """The leader says that Kraken does not answer it, or nothing of the kind."""

        says_so = False

        def hear_of_silence(self, now: float) -> bool:
            return self.says_so

    class Session:
        """A session that hears them."""

        others = Others()

    session: Any = Session()
    ship.program.session = session
    calm = ship.program._asks_every()
    session.others.says_so = True
    in_doubt = ship.program._asks_every()
    assert in_doubt < calm
    # Each looks, is told of, and is heard of, one after the other.
    known_within = 2 * sight._TOLD_AFTER + 2 * BEAT + in_doubt + reach._BEAT
    assert known_within < sight._GIVES_WAY_AFTER


@pytest.mark.parametrize(
    "flags",
    [
        ["--config", "mine.csv"],
        ["--dry-run"],
        ["--once"],
        ["--exclusive-key"],
        ["--validate-config"],
        ["--web", "8080", "--web-actions"],
    ],
)
def test_flag_that_would_be_passed_over_is_refused(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody may believe that a file is watched which is not."""
    with pytest.raises(SystemExit) as end:
        cli.main(["--store", "etcd://127.0.0.1/prod", *flags])
    assert end.value.code == 2
    assert "--store has rows and lives of its own" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--account", "b"], ["--standby-after", "5"]])
def test_flag_of_hosts_needs_a_store(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It would change nothing, and somebody thinks that it does."""
    with pytest.raises(SystemExit) as end:
        cli.main(flags)
    assert end.value.code == 2
    assert f"{flags[0]} is for hosts that share a store" in capsys.readouterr().err


def test_address_that_is_none_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before anything is read or asked."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["--store", "http://127.0.0.1/prod"]) == 1
    assert "is no address of a store" in capsys.readouterr().err


def test_options_of_a_host_are_those_of_a_run() -> None:
    """Whatever reads them finds them."""
    from ttslo_app.commands.flags import options_from

    options = options_from(["--store", "etcd://127.0.0.1/prod", "--standby-after", "2"])
    assert isinstance(options, argparse.Namespace)
    assert (options.account, options.standby_after) == ("main", 2.0)
