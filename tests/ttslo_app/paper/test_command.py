"""`ttslo paper`: a rehearsal on live prices, which can trade nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from krakenlink.pairs import Pair, Symbol
from tests.kits.program.live_program import HEADER, PAIR, QUICK, SYMBOL, row, wait_until
from tests.kits.program.program_process import environment_for
from tests.kits.signs.receiver_kit import Receiver
from ttslo import main
from ttslo_app.columns import CONFIG_COLUMNS
from ttslo_app.face.snapshot import decoded
from ttslo_app.paper.command import LOG, NEAR, STATE, PaperProgram, near_row
from ttslo_app.rules.rule import Rule, read_rule
from ttslo_app.run.parts import Options
from ttslo_app.signs.snapshots import About, Teller
from ttslo_app.store.lock import StateLock
from ttslo_app.store.manager import ConfigManager

ROOT = Path(__file__).resolve().parents[3]
LONG = 60.0


def write(*rows: str) -> None:
    """Write config.csv."""
    Path("config.csv").write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")


def refusal(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Return why a command line is refused, with the code of a wrong flag."""
    with pytest.raises(SystemExit) as caught:
        main(["paper", *argv])
    assert caught.value.code == 2
    return capsys.readouterr().err.replace("\n", " ")


# --- flags ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fee", ["-1", "100", "much", "nan", ""])
def test_fee_that_is_none_is_refused(capsys: pytest.CaptureFixture[str], fee: str) -> None:
    """With what to write."""
    assert "is no fee; write percent, such as 0.40" in refusal(capsys, f"--fee={fee}")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--near", "BTC/USD", "--config", "my.csv"), "does not use --config"),
        (("--live", "--log-format", "json"), "leave one out"),
        (("--web-host", "localhost"), "--web-host needs --web PORT"),
        (("--web", "0"), "is no port"),
        (("--interval", "0"), "write seconds"),
        (("--dry-run",), "unrecognized arguments"),
        (("--state", "state.csv"), "unrecognized arguments"),
        (("--env-file", ".env"), "unrecognized arguments"),
    ],
)
def test_flags_that_mean_nothing_here_are_refused(
    capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], said: str
) -> None:
    """Nobody may take the files of a real run for those of a rehearsal."""
    assert said in refusal(capsys, *argv)


def test_missing_config_is_said_with_a_way_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    """The quickest one."""
    assert main(["paper"]) == 1
    assert (
        "there is no config.csv. Write one, or let `ttslo paper --near" in capsys.readouterr().err
    )


def test_second_rehearsal_in_a_folder_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Both would write the same files; those of the first stay as they are."""
    write(row("up", 51000))
    Path(STATE).write_text("id\nmine\n", encoding="utf-8")
    with StateLock(STATE):
        assert main(["paper"]) == 1
    assert "Cannot run" in capsys.readouterr().err
    assert Path(STATE).read_text(encoding="utf-8") == "id\nmine\n"


def test_real_run_is_not_disturbed() -> None:
    """Its state and its config are locked by it, and a rehearsal needs neither."""
    write(row("up", 51000))
    with StateLock("state.csv"), StateLock("config.csv"), StateLock(STATE):
        pass  # three files, three locks: none of the rehearsal's is one of the run's


# --- a row just beyond the price -----------------------------------------------------------------


def pair(**changes: Any) -> Pair:
    """Return a pair of the listing."""
    values: dict[str, Any] = {"rest_key": "XXBTZUSD", "altname": "XBTUSD", "wsname": "XBT/USD",
                              "symbol": Symbol("BTC/USD"), "base": "XXBT", "quote": "ZUSD",
                              "price_decimals": 1, "lot_decimals": 8,
                              "ordermin": Decimal("0.00005"),
                              "costmin": Decimal("0.5")}  # fmt: skip
    return Pair(**{**values, **changes})


def rule_of(text: str) -> Rule:
    """Read a row as the program does."""
    return read_rule(dict(zip(CONFIG_COLUMNS, text.split(","), strict=True)))


@pytest.mark.parametrize(
    ("price", "decimals"),
    [("50000", 1), ("0.00001234", 8), ("7500000", 0), ("1.0001", 4), ("3", 0)],
)
def test_row_waits_just_beyond_the_price(price: str, decimals: int) -> None:
    """At least one tick, and farther than its stop stays away."""
    rule = rule_of(near_row(pair(price_decimals=decimals), Decimal(price)))
    tick = Decimal(1).scaleb(-decimals)
    away = rule.threshold - Decimal(price)
    assert tick <= away <= max(tick, Decimal(price) * Decimal("0.0006") + tick)
    assert away / Decimal(price) * 100 > rule.offset_at(Decimal(price))
    assert not rule.is_met_by(Decimal(price))


@pytest.mark.parametrize(
    ("ordermin", "costmin", "price", "volume"),
    [("0.00005", "0.5", "50000", "0.00005"), ("0.00005", "10", "50000", "0.00022"),
     ("5", None, "2", "5")],
)  # fmt: skip
def test_row_sells_the_least_there_is(
    ordermin: str, costmin: str | None, price: str, volume: str
) -> None:
    """Both minimums are met, with room for a price that falls."""
    listed = pair(ordermin=Decimal(ordermin), costmin=Decimal(costmin) if costmin else None)
    assert rule_of(near_row(listed, Decimal(price))).volume == Decimal(volume)


def test_pair_of_which_the_least_is_not_known_is_said() -> None:
    """Rather than a row that would be refused."""
    with pytest.raises(ValueError, match="least volume of BTC/USD"):
        near_row(pair(ordermin=None), Decimal(50000))


def test_near_with_a_pair_that_is_none_is_said(
    exchange: FakeKraken, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing is written."""
    monkeypatch.setenv("KRAKEN_SPOT_URL", exchange.rest_url)
    monkeypatch.setenv("KRAKEN_WS_PUBLIC_URL", exchange.ws_url)
    assert main(["paper", "--near", "NO/PAIR"]) == 1
    assert "NO/PAIR" in capsys.readouterr().err
    assert not Path(NEAR).exists()


# --- the program ---------------------------------------------------------------------------------


@pytest.fixture
def program(exchange: FakeKraken) -> Iterator[PaperProgram]:
    """Hand out a rehearsal of one row, which is not run yet."""
    write(row("up", 51000))
    reading = KrakenAPI(base_url=exchange.rest_url, ws_url=exchange.ws_url)
    made = PaperProgram(
        ConfigManager("config.csv", STATE, LOG), reading, Options(pace=QUICK), Decimal("0.40")
    )
    yield made
    provider = reading.price_provider()
    if provider is not None:
        provider.stop()


def test_it_has_no_key_and_no_way_to_an_account(program: PaperProgram) -> None:
    """Not in its client, not in its exchange, and no stream of an account."""
    assert program.mode == "PAPER"
    assert not program.kraken_api_readonly.has_keys
    assert program.kraken_api_readwrite is None
    held = vars(program.paper).values()
    assert not any(isinstance(value, KrakenAPI) for value in held)
    live = program._make_live(1)
    assert live._account is None
    assert live._checks is None
    program.stop()


def test_config_is_never_written(program: PaperProgram) -> None:
    """What has fired stands in the rehearsal's own state."""
    before = Path("config.csv").read_bytes()
    assert program.files.note_orders([]) == ()
    assert Path("config.csv").read_bytes() == before


def test_row_that_was_not_crossed_is_told_in_the_summary(program: PaperProgram) -> None:
    """And rows that were refused are not: they never ran."""
    program.load_state()
    program.check_config_file_changed()
    program.validate_and_load_config()
    program.worker.work_off()
    (only,) = program.outcomes()
    assert (only.row, only.condition, only.quote) == ("up", "BTC/USD at or above 51000", "USD")
    assert only.crossed_at is None


def test_stop_of_a_rehearsal_is_told_by_paper(exchange: FakeKraken, program: PaperProgram) -> None:
    """Where it stands, for the table and the page; and its fill is told to whoever listens."""
    teller = Teller(program, About("PAPER", "here", "config.csv", STATE, "1.0.0"), 1000.0)
    program.load_state()
    program.check_config_file_changed()
    program.validate_and_load_config()
    thread = threading.Thread(target=program.run_continuous, args=(1,), name="ttslo-main")
    thread.start()
    try:
        wait_until(lambda: exchange.is_subscribed(SYMBOL, "trade"), "it follows", LONG)
        wait_until(lambda: program.live is not None and program.live.watch.rules, "armed", LONG)
        exchange.set_prices(PAIR, ["51000"])
        wait_until(lambda: [o for o in teller.snapshot().orders if o.stop], "its stop", LONG)
        (order,) = teller.snapshot().orders
        assert (order.row, order.txid) == ("up", "PAPER-000001")
        assert order.told_by in ("paper", "computed")
        wait_until(lambda: program.worker.ledger.stops, "the stop is told", LONG)
        exchange.set_prices(PAIR, ["50000"])
        wait_until(lambda: program.state["up"].get("rule_state") == "closed", "its fill", LONG)
    finally:
        program.stop()
        thread.join(LONG)
    (only,) = program.outcomes()
    assert (only.crossed_at, only.price) == (Decimal(51000), Decimal(50000))
    assert only.fee == Decimal("2.0")
    assert exchange.orders == []


def test_order_of_a_row_that_is_taken_away_goes_on(
    exchange: FakeKraken, program: PaperProgram
) -> None:
    """At Kraken it would, too: its prices come until the end."""
    write(row("up", 51000), row("far", 90000))
    program.load_state()
    program.check_config_file_changed()
    program.validate_and_load_config()
    thread = threading.Thread(target=program.run_continuous, args=(1,), name="ttslo-main")
    thread.start()
    try:
        wait_until(lambda: exchange.is_subscribed(SYMBOL, "trade"), "it follows", LONG)
        wait_until(lambda: program.live is not None and program.live.watch.rules, "armed", LONG)
        exchange.set_prices(PAIR, ["51000"])
        wait_until(lambda: program.worker.ledger.stops, "the stop is told", LONG)
        write(row("other", 4500).replace("BTC/USD", "ETH/USD"))
        assert program.live is not None
        streams = program.live._streams
        wait_until(lambda: list(streams.names) == ["ETH/USD"], "the rows are gone", LONG)
        exchange.set_prices(PAIR, ["50000"])
        wait_until(lambda: program.paper.fills, "its fill", LONG)
        wait_until(lambda: program.state["up"].get("rule_state") == "closed", "it is told", LONG)
    finally:
        program.stop()
        thread.join(LONG)


# --- a whole rehearsal, as a user has it ---------------------------------------------------------


class Rehearsal:
    """One process of `ttslo paper`, with keys in its environment that it must not use."""

    def __init__(self, exchange: FakeKraken, *argv: str, **settings: str) -> None:
        Path("out").touch()
        environment = environment_for(exchange, KRAKEN_WS_AUTH_URL=exchange.ws_auth_url)
        with Path("out").open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "ttslo.py"), "paper", *argv],
                env={**environment, "KRAKEN_API_KEY": exchange.api_key,
                     "KRAKEN_API_SECRET": exchange.api_secret, **settings},
                stdout=out,
                stderr=out,
            )  # fmt: skip

    def said(self) -> str:
        """Return what it has said so far."""
        return Path("out").read_text(encoding="utf-8")

    def wait_for(self, part: str) -> None:
        """Wait until it has said something."""
        wait_until(lambda: part in self.said() or self.process.poll() is not None, part, LONG)
        assert part in self.said()

    def end(self) -> int:
        """End it as a user does, and return its code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(LONG)


def _rehearse_twice(exchange: FakeKraken, receiver: Receiver) -> None:
    told = f"--notify=orders=json://{receiver.place}"
    for argv, name in (((told,), "up"), (("--near", "XBTUSD"), "near")):
        Path("out").unlink(missing_ok=True)
        assert exchange.wait_for(lambda e: e.ws_connections == 0, LONG)
        exchange.set_prices(PAIR, ["50000"])
        alarm = f"http://{receiver.place}/alarm"
        rehearsal = Rehearsal(exchange, *argv, TTSLO_PING=alarm, TTSLO_NOTIFY=alarm)
        try:
            rehearsal.wait_for(f"{name}: armed")
            wait_until(lambda: exchange.is_subscribed(SYMBOL, "trade"), "it follows", LONG)
            exchange.set_prices(PAIR, ["50500", "50900"])
            rehearsal.wait_for(f"{name}: BTC/USD at or above")
            rehearsal.wait_for("order PAPER-000001 placed")
            exchange.set_prices(PAIR, ["50700", "50600"])
            rehearsal.wait_for("order PAPER-000001 is filled: ")
        finally:
            code = rehearsal.end()
        said = rehearsal.said()
        assert code == 0
        assert "PAPER on http" in said.splitlines()[0]
        assert "no order leaves this program" in said.splitlines()[0]
        assert f"{name}: PAPER: BTC/USD at or above" in said
        assert "1 crossed, 1 filled" in said
        assert exchange.api_secret not in said + Path(LOG).read_text(encoding="utf-8")


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no Ctrl-C to one process alone")
def test_rehearsal_crosses_trails_and_fills_and_asks_kraken_for_nothing_private(
    exchange: FakeKraken,
) -> None:
    """With trading keys and the account's address in its environment, in both ways to begin."""
    write(row("up", 50500), row("far", 90000))
    config = Path("config.csv").read_bytes()
    with Receiver() as receiver:
        _rehearse_twice(exchange, receiver)
    # Who was told of it was told what it is.
    titles = {message["title"] for message in receiver.messages}
    assert titles
    assert not any("/alarm" in first for first, _ in receiver.requests)
    assert all(title.startswith("TTSLO PAPER") for title in titles), titles
    # Each request that was made, both times: none of them is of an account.
    assert {request.endpoint for request in exchange.requests} <= {
        "AssetPairs", "Ticker", "Time", "Trades", "SystemStatus"
    }  # fmt: skip
    assert exchange.orders == []
    asked = [message.get("params", {}) for message in exchange.ws_messages]
    assert not any("token" in params for params in asked)
    assert Path("config.csv").read_bytes() == config
    assert not Path("state.csv").exists()
    # The first one's files were kept, and the page of status tells what it was.
    assert "up,true" in Path(f"{STATE}.before").read_text(encoding="utf-8")
    assert Path(f"{LOG}.before").exists()
    assert decoded(Path(f"{STATE}.status.json").read_bytes()).mode == "PAPER"
