"""The program put together: its words, its state, its clocks and its journal."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from config import ConfigManager
from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from krakenlink.errors import KrakenError, ProtocolError
from krakenlink.machine import feed_clock
from tests.kits.program.caller_kit import SlowStandIn, StandIn, config, logged, manager_in
from ttslo import TTSLO
from ttslo_app.face.voice import Ear
from ttslo_app.messages import Crossing, Kind
from ttslo_app.orders.intents import intent_lines, read_intents
from ttslo_app.rules.rule import read_rule
from ttslo_app.run.program import Program, keeping_journal
from ttslo_app.store.state_text import STATE_COLUMNS


@pytest.fixture
def manager(tmp_path: Path) -> ConfigManager:
    """Hand out the files, with one rule in config.csv."""
    return manager_in(tmp_path)


def test_log_prints_what_a_person_should_read(
    manager: ConfigManager, capsys: pytest.CaptureFixture[str]
) -> None:
    """Details are printed only where they were asked for; the file has them all."""
    TTSLO(manager, StandIn()).log("DEBUG", "a detail")
    TTSLO(manager, StandIn()).log("WARNING", "look here", id="btc")
    TTSLO(manager, StandIn(), debug=True).log("DEBUG", "wanted")
    printed = capsys.readouterr().out
    assert "a detail" not in printed
    assert "WARNING: look here" in printed
    assert "wanted" in printed
    assert logged(manager, "DEBUG") == "a detail\nwanted"


def test_kind_of_a_sentence_is_not_written_to_the_log(manager: ConfigManager) -> None:
    """It is for those who choose what they are told of; hosts and the log know it not."""
    heard: list[dict[str, object]] = []

    class Host(TTSLO):
        def log(self, level: str, message: str, **fields: object) -> None:
            heard.append(fields)
            super().log(level, message, **fields)

    program = Host(manager, StandIn())
    program.say("INFO", "look here", kind=Kind.PLACED, id="btc")
    text = Path(manager.log_file).read_text(encoding="utf-8")
    assert heard == [{"id": "btc"}]
    assert "look here" in text
    assert "order placed" not in text


def test_whoever_listens_hears_kind_and_row_after_log_and_screen(
    manager: ConfigManager, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is said by way of `say` has its kind; the log and the screen have it by then."""
    program, ear = TTSLO(manager, StandIn()), Ear()
    program.voice.listen(ear)
    before = time.time()
    program.say("ERROR", "btc: look here", kind=Kind.REFUSED, id="btc", order_id="O1")
    said = ear.take()
    assert said is not None
    assert (said.kind, said.level, said.row) == (Kind.REFUSED, "ERROR", "btc")
    assert said.text == "btc: look here"
    assert before <= said.at <= time.time()
    assert logged(manager, "ERROR") == "btc: look here"
    assert "look here" in capsys.readouterr().out
    assert ear.take() is None


@pytest.mark.parametrize(
    ("speak", "kind"),
    [
        (lambda p: p.check_threshold({"id": "btc"}, "soon"), Kind.PRICE),
        (lambda p: p.check_threshold({"id": "btc"}, 5), Kind.CONFIG),
        (lambda p: p.check_threshold("btc", 5), Kind.CONFIG),
        (lambda p: p.create_tsl_order({"id": "btc"}, 5), Kind.CONFIG),
        (lambda p: p.create_tsl_order(config(), 5), Kind.PLACED),
        (lambda p: p.look_at(config(), None), Kind.PRICE),
    ],
)
def test_what_the_door_says_has_its_kind(
    manager: ConfigManager, speak: Callable[[TTSLO], object], kind: Kind
) -> None:
    """Its sentences are of a kind like all others."""

    class Mute(StandIn):
        def get_current_price(self, pair: str) -> float:
            raise ConnectionError("nobody there")

    program, ear = TTSLO(manager, Mute(), dry_run=True), Ear()
    program.voice.listen(ear)
    speak(program)
    said = ear.take()
    assert said is not None
    assert said.kind is kind


def test_state_that_cannot_be_saved_is_said_not_raised(manager: ConfigManager) -> None:
    """A failing disk is an ERROR in the log, not the end of the program."""
    program = TTSLO(manager, StandIn())
    program.state = {"btc": {"id": "btc", "triggered": "false"}}
    Path(manager.state_file).mkdir()
    program.save_state()
    assert "state.csv cannot be written" in logged(manager, "ERROR")


def test_state_that_is_loaded_is_saved_as_it_was(manager: ConfigManager) -> None:
    """Columns of others stay, empty or not; of ours a cell that is empty says nothing."""
    text = (
        f"{','.join(STATE_COLUMNS)},rule_state,theirs,doubt,empty\n"
        "btc,false,,,,,,disarmed,x,,\neth,false,,,,,,disarmed,,,\n"
    )
    Path(manager.state_file).write_text(text, encoding="utf-8")
    program = TTSLO(manager, StandIn())
    program.load_state()
    assert program.state["btc"]["theirs"] == "x"
    assert "doubt" not in program.state["btc"]
    program.save_state()
    saved = Path(manager.state_file).read_text(encoding="utf-8")
    assert saved == text.replace("doubt,", "").replace("x,,", "x,").replace(
        "disarmed,,,", "disarmed,,"
    )


def test_damaged_state_file_keeps_a_copy_and_trades_no_doubtful_row(
    manager: ConfigManager, tmp_path: Path
) -> None:
    """A row of state.csv that makes no sense stops its rule, and the file is kept."""
    damaged = "id,triggered,order_id\nbtc,perhaps,\n"
    (tmp_path / "state.csv").write_text(damaged, encoding="utf-8")
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    program.load_state()
    program.recover()
    program.run_once()
    program.process_config(config(), 60000)
    assert kraken.orders == []
    assert "btc" in logged(manager, "ERROR")
    kept: Callable[[Path], str] = lambda path: path.read_text(encoding="utf-8")  # noqa: E731
    assert damaged in map(kept, tmp_path.glob("state.csv*"))


def test_intent_of_an_order_under_way_stays_whoever_saves(manager: ConfigManager) -> None:
    """While the order thread waits for an answer nobody else clears what it has written down."""
    kraken = SlowStandIn()
    program = TTSLO(manager, kraken, kraken)
    worker = program.worker
    with keeping_journal(program):
        assert program.validate_and_load_config()
        worker.start()
        worker.submit(Crossing(read_rule(config()), Decimal(60000), "60000"))
        assert kraken.is_asked.wait(60)
        program.save_state()
    (intent,) = read_intents(Path(f"{manager.state_file}.intents").read_bytes()).rows
    assert (intent["id"], intent["rule_state"]) == ("btc", "intended")
    kraken.may_answer.set()
    assert worker.stop(10)
    with keeping_journal(program):
        program.save_state()
    assert manager.load_state()["btc"]["triggered"] == "true"


@pytest.mark.parametrize(("price", "is_blind"), [(40000.0, False), (OSError("no way"), True)])
def test_run_once_tells_whether_there_was_a_price(
    manager: ConfigManager, price: object, is_blind: bool
) -> None:
    """A look without any price is no look."""
    api = StandIn(price=price)
    program = TTSLO(manager, api, api)
    program.run_once()
    assert program.is_blind is is_blind


def test_seconds_of_the_order_thread_go_on_while_the_machine_sleeps(
    manager: ConfigManager,
) -> None:
    """A crossing that is owed for a minute is not owed after a night with the lid closed."""
    assert TTSLO(manager, StandIn()).clocks.monotonic is feed_clock


# --- a look at every row -------------------------------------------------------------------------


class Pricing(StandIn):
    """Knows today's prices, all at once."""

    def __init__(self, **prices: object) -> None:
        super().__init__()
        self.prices = prices
        self.asked: list[list[str]] = []

    def get_tickers(self, pairs: list[str]) -> dict[str, object]:
        self.asked.append(list(pairs))
        if "error" in self.prices:
            raise KrakenError("no way")
        return {pair: self.prices[pair] for pair in pairs}


def quote(price: str) -> object:
    """Return what has a price."""
    return SimpleNamespace(price=Decimal(price))


def test_prices_of_all_pairs_cost_one_call_and_a_bad_one_no_other(manager: ConfigManager) -> None:
    """What is wrong with one pair is said with its name."""
    api = Pricing(XXBTZUSD=quote("60000"), XETHZUSD=ProtocolError("no number"))
    program = TTSLO(manager, api, api)
    found = Program.prices_of(program, ["XXBTZUSD", "XETHZUSD"])
    assert found == {"XXBTZUSD": Decimal(60000), "XETHZUSD": None}
    assert api.asked == [["XXBTZUSD", "XETHZUSD"]]
    assert "XETHZUSD" in logged(manager, "WARNING") + logged(manager, "ERROR")


def test_prices_of_no_pairs_cost_no_call(manager: ConfigManager) -> None:
    """Where every row has fired there is nothing to ask."""
    api = Pricing()
    assert Program.prices_of(TTSLO(manager, api, api), []) == {}
    assert api.asked == []


def test_prices_that_cannot_be_asked_for_are_said_once(manager: ConfigManager) -> None:
    """Each pair is without one, and nothing is raised."""
    api = Pricing(error=True)
    found = Program.prices_of(TTSLO(manager, api, api), ["XXBTZUSD", "XETHZUSD"])
    assert found == {"XXBTZUSD": None, "XETHZUSD": None}
    assert (
        logged(manager, "WARNING").count("no way") + logged(manager, "ERROR").count("no way") == 1
    )


def test_row_that_is_appended_is_looked_at_by_the_next_run_once(manager: ConfigManager) -> None:
    """Each look reads config.csv anew where somebody has edited it."""
    api = StandIn(price=40000.0)
    program = TTSLO(manager, api, api)
    program.run_once()
    assert [row["id"] for row in program.configs] == ["btc"]
    path = Path(manager.config_file)
    text = path.read_text(encoding="utf-8")
    path.write_text(text + "two,XXBTZUSD,55000,above,sell,0.02,5.0,true\n", encoding="utf-8")
    program.run_once()
    assert [row["id"] for row in program.configs] == ["btc", "two"]
    assert api.orders == []
    api.price = 56000.0
    program.run_once()
    assert [order["volume"] for order in api.orders] == ["0.01", "0.02"]
    program.run_once()
    assert len(api.orders) == 2


def test_damaged_journal_lets_no_row_trade_that_may_have_fired(
    manager: ConfigManager, tmp_path: Path
) -> None:
    """A line that nobody can read, before one that can be: of whom it spoke nobody knows."""
    waiting = {"id": "btc", "triggered": "false", "rule_state": "armed", "generation": "1"}
    manager.save_state({"btc": waiting})
    good = intent_lines([{"id": "other", "rule_state": "intended"}])
    (tmp_path / "state.csv.intents").write_bytes(b"\n00000000 {damaged}" + good)
    kraken = StandIn()
    program = TTSLO(manager, kraken, kraken)
    program.load_state()
    assert program.worker.ledger.is_past_unknown("btc")
    assert program.worker.ledger.is_past_unknown("of which the state says nothing")
    assert "state.csv.intents: damaged in line 2" in logged(manager, "ERROR")
    program.process_config(config(), 60000)
    assert kraken.orders == []


def test_listing_is_asked_for_a_market_that_no_exchange_knows(manager: ConfigManager) -> None:
    """Without a trading key the reading client's list of pairs tells of a market."""
    with FakeKraken() as exchange:
        api = KrakenAPI(base_url=exchange.rest_url, use_websocket=False)
        program = TTSLO(manager, api, None)
        market = program.market_of("BTC/USD")
        assert (market.name, market.rest_key) == ("BTC/USD", "XXBTZUSD")
        with pytest.raises(LookupError):
            program.market_of("NOPE/USD")
