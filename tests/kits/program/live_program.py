"""The whole program on threads of the test, against the embedded exchange, with real files."""

from __future__ import annotations

import csv
import threading
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from config import ConfigManager
from fake_kraken import FakeKraken
from kraken_api import KrakenAPI
from krakenlink.stream.settings import FeedSettings
from ttslo_app.commands import demo
from ttslo_app.orders.life import OrderSettings
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.run.parts import Options
from ttslo_app.run.program import Program
from ttslo_app.store.disk import Disk
from ttslo_app.watch.past import Pace

PAIR, SYMBOL = "XXBTZUSD", "BTC/USD"
HEADER = (
    "id,pair,threshold_price,threshold_type,direction,volume,trailing_offset_percent,"
    "enabled,when_blind"
)
PATIENCE = 60.0
# Silence is not the matter: a program that a busy machine lets have no turn is not blind for it.
PATIENT = FeedSettings(
    ping_after=50 * PATIENCE, dead_after=100 * PATIENCE, lag_check_every=100 * PATIENCE
)
# The embedded exchange bears any pace.
QUICK = Pace(pair_gap=0.01, gap=0.0, settle=0.2, hole=0.02, retry=0.05, retry_max=0.2)


def let_demo_be_patient(patch: pytest.MonkeyPatch) -> None:
    """Let no busy machine make the demo blind, or let its time be up before its recording ends."""
    patch.setattr(demo, "KrakenAPI", partial(KrakenAPI, feed_settings=PATIENT))
    patch.setattr(demo, "_LONGEST", 120.0)


def row(rule_id: str, threshold: object, kind: str = "above", policy: str = "") -> str:
    """Return a row of config.csv."""
    return f"{rule_id},BTC/USD,{threshold},{kind},sell,0.01,0.1,true,{policy}"


def wait_until(is_true: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Return once `is_true`; fail, naming `what`, if it is not within `patience` seconds."""
    end = time.monotonic() + patience
    happened = threading.Event()
    while not is_true():
        assert time.monotonic() < end, f"it did not come to this: {what}"
        happened.wait(0.005)


class LiveProgram:
    """One run of the program; a second one on the same folder is a restart.

    Args:
        exchange: The embedded exchange.
        folder: Where the three files are.
        rows: Written to config.csv first; None leaves the file as it is.
        when_blind: The policy of rows that name none.
        metrics_port: Where figures are served; None for nowhere.
        settings: The numbers of the order protocol.
        clients: What asks for prices, and what places orders. None: a client without a key, and
            one with the exchange's.
        disk: What the files lie on.

    Attributes:
        waits: Whether it must be armed, or have fired, before a `with` begins.
        looks_back: Whether it must have looked at what was traded before, too: a crossing is one
            of the stream then, and none of a blind time.
    """

    def __init__(
        self,
        exchange: FakeKraken,
        folder: Path,
        rows: Sequence[str] | None = None,
        when_blind: WhenBlind = WhenBlind.ARM_IF_BEYOND,
        metrics_port: int | None = None,
        *,
        settings: OrderSettings | None = None,
        clients: tuple[KrakenAPI | None, KrakenAPI | None] = (None, None),
        disk: Disk | None = None,
    ) -> None:
        self.exchange = exchange
        self.folder = folder
        self.waits = self.looks_back = True
        if rows is not None:
            self.write(rows)
        files = [folder / name for name in ("config.csv", "state.csv", "logs.csv")]
        key, secret, url = exchange.api_key, exchange.api_secret, exchange.rest_url
        self.ttslo = Program(
            ConfigManager(*files, disk=disk),
            clients[0] or KrakenAPI(base_url=url, ws_url=exchange.ws_url, feed_settings=PATIENT),
            clients[1] or KrakenAPI(key, secret, url, use_websocket=False),
            Options(
                settings=settings or OrderSettings(watch=0.5),
                when_blind=when_blind,
                pace=QUICK,
                debug=True,
                metrics_port=metrics_port,
            ),
        )
        self._thread = threading.Thread(target=self._run, name="ttslo-main", daemon=True)

    def _is_armed(self) -> bool:
        live, state = self.ttslo.live, self.ttslo.state
        return live is not None and all(
            row["id"] in live.watch.rules or state.get(row["id"], {}).get("order_id")
            for row in self.ttslo.configs
        )

    def _has_looked_back(self) -> bool:
        live = self.ttslo.live
        return live is not None and not any(
            tape.is_open for tape in list(live.watch._blind.tapes.values())
        )

    def write(self, rows: Sequence[str]) -> None:
        """Write config.csv as an editor does."""
        new = self.folder / "config.new"
        new.write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")
        new.replace(self.folder / "config.csv")

    def __enter__(self) -> LiveProgram:
        self.ttslo.load_state()
        self.ttslo.recover()
        self.ttslo.check_config_file_changed()
        self.ttslo.validate_and_load_config()
        self._thread.start()
        if not self.waits:
            return self
        try:
            wait_until(self.is_streaming, "the program follows the trades")
            wait_until(self._is_armed, "every row is on the books, or has fired")
            if self.looks_back:
                wait_until(self._has_looked_back, "what was traded before has been looked at")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.ttslo.stop()
        self._thread.join(PATIENCE)
        provider = self.ttslo.kraken_api_readonly.price_provider()
        if provider is not None:
            provider.stop()

    def _run(self) -> None:
        self.ttslo.run_continuous(1)

    def is_streaming(self) -> bool:
        """Tell whether the exchange streams the trades to the program."""
        return self.exchange.is_subscribed(SYMBOL, "trade")

    def reconnect(self, while_away: Callable[[], object] = lambda: None) -> None:
        """Cut the stream, let things happen, and wait until the program is back."""
        made = self.exchange.ws_connections_made
        # Or it may be back before anything has happened.
        away = self.exchange.fault("refuse_connect")
        self.exchange.drop_connections()
        while_away()
        away.clear()
        wait_until(
            lambda: self.exchange.ws_connections_made > made and self.is_streaming(),
            "the program is back on the stream",
        )

    def log_lines(self, part: str = "") -> list[str]:
        """Return the messages in the log that hold `part`."""
        return [row["message"] for row in self.log_rows(part)]

    def log_rows(self, part: str = "") -> list[dict[str, str]]:
        """Return the rows of the log whose message holds `part`."""
        path = self.folder / "logs.csv"
        if not path.exists():
            return []
        # Read in one go: a reader of lines that met the end of the file before the first line was
        # there takes the second one for the header.
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        return [row for row in csv.DictReader(lines) if part in row["message"]]

    def wait_for_line(self, part: str) -> str:
        """Wait until the log says `part`, and return that message."""
        wait_until(lambda: self.log_lines(part), f"the log says {part!r}")
        return self.log_lines(part)[0]

    def crossing_of(self, rule_id: str) -> Decimal:
        """Wait until a rule has its order, and return the price of its crossing."""
        wait_until(
            lambda: self.ttslo.state.get(rule_id, {}).get("order_id"), f"{rule_id} has its order"
        )
        return Decimal(self.ttslo.state[rule_id]["trigger_price"])

    def wait_for_watch(self, rule_id: str, *, is_armed: bool = True) -> None:
        """Wait until the reader of prices has a rule on its books, or off them."""

        def is_so() -> bool:
            live = self.ttslo.live
            return live is not None and (rule_id in live.watch.rules) is is_armed

        wait_until(is_so, f"{rule_id} is {'on' if is_armed else 'off'} the books")
