"""The whole program against an exchange that answers badly, and what must be true all the while.

At no time are there two orders of one arming; every crossing ends with an order, or with a
sentence that names the row, the price and the reason.
"""

from __future__ import annotations

import base64
import itertools
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from fake_kraken import FakeKraken
from kraken_api import KrakenAPI, Timeouts
from tests.kits.program.live_program import HEADER, PAIR, LiveProgram, wait_until
from ttslo_app.orders.life import OrderSettings, settings_from

# A deadline as in earnest: Kraken would refuse what a busy machine sends seconds late. Two readings
# of its clock differ by up to a second.
QUICK = (
    "deadline=5.0,deadline_margin=1.05,lookup_gap=0.4,ask_again=0.1,ask_again_max=0.5,"
    "refusal_wait=0.2,refusal_wait_max=0.5,write_again=0.1,watch=0.3"
)
ROW = "btc,BTC/USD,51000,above,sell,0.01,{offset},true,"
CROSSED = "51001"
# A silent Kraken ends a call soon, and still a busy machine does not.
TIMEOUTS = Timeouts(connect=3.0, read=4.0, read_order=4.0)
AT_ONCE = 8
_NUMBERS = itertools.count(1)
SECRET = base64.b64encode(b"not a secret either".ljust(64, b".")).decode()
Fault = dict[str, Any]  # as the embedded exchange takes them


class Arena:
    """An exchange with a key of its own, a folder, and runs of the program on both.

    Args:
        folder: For the three files.
        offset: Of the one row, in percent: one that the next price does not reach.
    """

    def __init__(self, folder: Path, offset: str = "1.5") -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.row = ROW.format(offset=offset)
        # Calls with one key wait for each other, and arenas must not.
        self.number = next(_NUMBERS)
        self.exchange = FakeKraken(key=f"ARENA-KEY-{self.number}", secret=SECRET)
        self.settings: OrderSettings = settings_from(QUICK)
        self._rows = self._checks_before = 0

    def __enter__(self) -> Arena:
        self.write(self.row)
        self.exchange.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.exchange.stop()

    def write(self, *rows: str) -> None:
        """Write config.csv as an editor does."""
        self._rows = len(rows)
        new = self.folder / "config.new"
        new.write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")
        new.replace(self.folder / "config.csv")

    def stranger(self, *, streams: bool) -> KrakenAPI:
        """Return a client with a good key of another account, which trades and reads there."""
        if "theirs" not in self.exchange.core.engine.accounts:
            self.exchange.add_account("theirs")
        key, url = f"STRANGERS-KEY-{self.number}-{streams}", self.exchange.rest_url
        self.exchange.add_key(key, SECRET, account="theirs")
        ws_url = self.exchange.ws_url
        return KrakenAPI(key, SECRET, url, use_websocket=streams, ws_url=ws_url)

    def run(self, *, waits: bool = True, **options: Any) -> LiveProgram:
        """Return a run of the program, to be entered; `waits` until it is armed, or has fired."""
        options.setdefault("settings", self.settings)
        self._checks_before = self._checks()
        reading, trading = options.pop("clients", (None, None))
        key, url, ws_url = self.exchange.api_key, self.exchange.rest_url, self.exchange.ws_url
        options["clients"] = (
            reading or KrakenAPI(base_url=url, ws_url=ws_url, timeouts=TIMEOUTS),
            trading or KrakenAPI(key, SECRET, url, use_websocket=False, timeouts=TIMEOUTS),
        )
        program = LiveProgram(self.exchange, self.folder, **options)
        program.waits, program.looks_back = waits, False  # by some clocks nobody can
        return program

    # --- what happens ------------------------------------------------------------------------

    def cross(self, price: str = CROSSED) -> None:
        """Let the price pass the threshold."""
        self.exchange.set_price(PAIR, price)

    def buy(self, amount: str) -> None:
        """Let there be so much to sell."""
        self.exchange.core.engine.account.balances["XXBT"] = Decimal(amount)

    def fall_back(self) -> None:
        """Let the price be what it was at the start."""
        self.exchange.set_price(PAIR, "50000")

    def fill(self) -> None:
        """Fill every order that stands, as a stop does that is met at once."""
        for order in self.exchange.orders:
            if order["status"] == "open":
                self.exchange.fill_order(order["txid"])

    def on_order(self, *faults: Mapping[str, Any], checks: int = 0) -> None:
        """Let the next AddOrder meet faults, once no more of them is a mere check.

        Args:
            *faults: What it meets.
            checks: How many there are, if not one for each row: rows may share one.
        """
        due = self._checks_before + (checks or self._rows)
        assert self.exchange.wait_for(lambda _: self._checks() >= due, 60.0), "all are checked"
        for fault in faults:
            self.exchange.fault(**{"endpoint": "AddOrder", "count": 1, **fault})

    def _checks(self) -> int:
        calls = (r.params for r in self.exchange.requests if r.endpoint == "AddOrder")
        return sum(params.get("validate") == "true" for params in calls)

    # --- what is seen ------------------------------------------------------------------------

    @property
    def sent(self) -> list[dict[str, str]]:
        """The orders that came in to be placed, mere checks left out."""
        calls = [r.params for r in self.exchange.requests if r.endpoint == "AddOrder"]
        return [params for params in calls if params.get("validate") != "true"]

    def wait_for_sent(self, count: int = 1) -> None:
        """Wait until so many orders came in."""
        wait_until(lambda: len(self.sent) >= count, f"{count} orders are sent")

    def said(self, *words: str, levels: str = "WARNING|ERROR") -> list[str]:
        """Return what the log says of the row in one of `levels` and with one of `words`."""
        path = self.folder / "logs.csv"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return [
            line
            for line in text.splitlines()
            if re.search(levels, line)
            and re.search(r"\bbtc\b", line)
            and (not words or any(word.lower() in line.lower() for word in words))
        ]

    def wait_for_words(self, *words: str, levels: str = "WARNING|ERROR|INFO") -> str:
        """Wait until one of `words` is said of the row, and return the line."""
        wait_until(lambda: self.said(*words, levels=levels), f"it says one of {words}")
        return self.said(*words, levels=levels)[0]

    def is_explained(self, price: str = CROSSED) -> bool:
        """Tell whether a sentence names the row and its price, and is more than a detail."""
        spelt = re.compile(f"{price[:2]},?{price[2:]}")
        return any(spelt.search(line) for line in self.said())

    def wait_for_order(self, count: int = 1) -> None:
        """Wait until so many orders were ever placed."""
        done = self.exchange.wait_for(lambda e: e.placed_count() >= count, 60.0)
        assert done, f"{count} orders are placed"

    def never_again(self, seconds: float, most: int = 1) -> None:
        """Look on for a while, and see that there are never more than `most` orders."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.exchange.placed_count() <= most, self.account()
            time.sleep(0.05)

    def ends_with_order(self, program: LiveProgram, patience: float = 60.0) -> None:
        """Wait until the one order of the row is known to the program."""
        wait_until(
            lambda: program.ttslo.state.get("btc", {}).get("order_id"),
            "the program knows the order",
            patience,
        )
        (order,) = self.exchange.orders
        assert program.ttslo.state["btc"]["order_id"] == order["txid"], self.account()

    def account(self) -> str:
        """Return what a failure must show."""
        orders = [(o["txid"], o.get("cl_ord_id"), o["status"]) for o in self.exchange.orders]
        return "\n".join([f"orders {orders}", f"sent {self.sent}", *self.said(levels="")])


Scenario = Callable[[Arena], None]


def side_by_side(scenarios: Mapping[str, Scenario], folder: Path) -> None:
    """Run scenarios, each in an arena of its own, at once; fail with all that failed."""

    def run(name: str) -> Exception | None:
        place = folder / f"{list(scenarios).index(name)}-{re.sub(r'[^a-z0-9]+', '-', name)}"
        try:
            with arena(place) as made:
                scenarios[name](made)
        except Exception as error:  # noqa: BLE001 - all scenarios run, then all failures are shown
            error.add_note(f"in the scenario {name}")
            return error
        return None

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="scenario") as pool:
        failed = [error for error in pool.map(run, scenarios) if error is not None]
    if failed:
        raise ExceptionGroup(f"{len(failed)} of {len(scenarios)} scenarios failed", failed)


@contextmanager
def arena(folder: Path) -> Iterator[Arena]:
    """Hand out an arena; what it came to is shown where its scenario fails."""
    with Arena(folder) as made:
        try:
            yield made
        except BaseException as error:
            error.add_note(made.account())
            raise
