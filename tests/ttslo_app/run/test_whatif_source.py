"""Where prices come from: the right pair's, of a file or over REST, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fake_kraken import FakeKraken
from ttslo_app.run import whatif
from ttslo_app.run.whatif_report import Report, report
from ttslo_app.run.whatif_source import Fetching, Trouble, known_pairs, pair_named_by

HEADER = "id,pair,threshold_price,threshold_type,direction,volume,trailing_offset_percent,enabled\n"
ROW = "up,BTC/USD,50500,above,sell,0.01,1.0,true\n"


@pytest.mark.parametrize(
    "name", ["XBTUSD.csv", "XBTUSD_60.csv", "xbtusd.csv.gz", "XBTUSD.zip", "XBTUSD_1.csv.gz"]
)
def test_pair_is_named_by_the_file(name: str) -> None:
    """As Kraken names its downloads."""
    assert pair_named_by(Path("folder.d") / name) == "BTC/USD"


def test_known_pairs_are_shown_as_everywhere() -> None:
    """By the names that people know."""
    assert {"BTC/USD", "ETH/EUR", "DOGE/USD"} <= known_pairs()


# --- trades over REST ----------------------------------------------------------------------------

NOW = 1_700_000_000.0


@pytest.fixture
def traded(exchange: FakeKraken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKraken:
    """Hand out an exchange on which 2,500 trades were made in the last hour, and a config."""
    prices = [50000 + (n * 7) % 900 for n in range(2500)]
    for first in range(0, 2500, 100):
        exchange.set_prices("XBTUSD", prices[first : first + 100], at=NOW - 3000 + first)
    monkeypatch.setenv("KRAKEN_SPOT_URL", exchange.rest_url)
    (tmp_path / "config.csv").write_text(HEADER + ROW)
    return exchange


def since(folder: Path, *argv: str, wait: Callable[[float], object] | None = None) -> Report:
    """Return what is told of an hour of the exchange's trades; no time passes."""
    names = ["--config", str(folder / "config.csv"), "--since", "1h", *argv]
    fetching = Fetching(wait=wait or (lambda _: None), now=lambda: NOW)
    return report(whatif.parser().parse_args(names), fetching)


def test_trades_of_a_span_are_fetched_and_kept(traded: FakeKraken, tmp_path: Path) -> None:
    """The pair is that of the rows, and the second time asks for the rest alone."""
    made = since(tmp_path, "--cache", str(tmp_path / "kept"))
    assert made.lines[0].startswith("WHAT IF: 2500 prices of BTC/USD, 2023-11-14T21:23:20Z to ")
    assert made.record["rows"][0]["crossed_price"] == "50504"
    assert traded.count("Trades") == 3
    again = since(tmp_path, "--cache", str(tmp_path / "kept"))
    assert traded.count("Trades") == 4
    assert again.record["rows"] == made.record["rows"]


def test_what_a_stand_in_tells_is_not_kept_unasked(traded: FakeKraken, tmp_path: Path) -> None:
    """Its port may be another's tomorrow."""
    made = since(tmp_path)
    assert "not kept" in made.record["source"]
    since(tmp_path)
    assert traded.count("Trades") == 6


def test_fetched_trades_end_as_those_of_a_file(traded: FakeKraken, tmp_path: Path) -> None:
    """Over REST and by a download, one truth."""
    made = since(tmp_path)
    listing = traded.core.engine.listing("XBTUSD")
    rows = [f"{trade.at_ns / 1e9:.6f},{trade.price},{trade.qty}" for trade in listing.trades]
    (tmp_path / "XBTUSD.csv").write_text("\n".join(rows) + "\n")
    argv = ["--config", str(tmp_path / "config.csv"), "--trades", str(tmp_path / "XBTUSD.csv")]
    file = report(whatif.parser().parse_args(argv))
    for name in ("crossed_price", "trailed", "fixed_stop", "held"):
        assert file.record["rows"][0][name] == made.record["rows"][0][name]


@pytest.mark.parametrize(
    ("fault", "options", "named"),
    [
        ("error", {"text": "EGeneral:Too many requests"}, "Too many requests"),
        ("http_502", {}, "502"),
        ("error", {"text": "EService:Unavailable"}, "Unavailable"),
    ],
)
def test_trouble_in_the_middle_is_outlasted(
    traded: FakeKraken,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    fault: str,
    options: dict[str, Any],
    named: str,
) -> None:
    """A limit, an edge that answers in Kraken's place, and an exchange that is busy."""
    calm = since(tmp_path).record["rows"]
    waits: list[float] = []

    def wait(seconds: float) -> None:
        """Let trouble begin after the first page, and end after a while."""
        waits.append(seconds)
        if len(waits) == 1:
            traded.fault(fault, endpoint="Trades", **options)
        elif len(waits) == 4:
            traded.clear_faults()

    assert since(tmp_path, wait=wait).record["rows"] == calm
    assert named in capsys.readouterr().err
    assert waits[1:4] == [1.0, 2.0, 4.0]


def test_ctrl_c_in_the_middle_says_what_is_kept(
    traded: FakeKraken, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the next start goes on from there."""

    def wait(seconds: float) -> None:
        raise KeyboardInterrupt

    kept = str(tmp_path / "kept")
    with pytest.raises(KeyboardInterrupt):
        since(tmp_path, "--cache", kept, wait=wait)
    assert "Stopped. Trades until 2023-11-14T2" in capsys.readouterr().err
    assert traded.count("Trades") == 1
    since(tmp_path, "--cache", kept)
    assert traded.count("Trades") == 3


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        (ROW + "eth,ETH/USD,4000,above,sell,1,1.0,true\n", "rows of BTC/USD, ETH/USD: name the"),
        ("", "no enabled row: name the pair by --pair"),
        ("x,NOPE/USD,4000,above,sell,1,1.0,true\n", "NOPE"),
        ("eth,ETH/USD,4000,above,sell,1,1.0,true\n", "no trades of XETHZUSD since 2023-11-14T21"),
    ],
)
def test_span_that_cannot_be_fetched_says_why(
    traded: FakeKraken, tmp_path: Path, rows: str, named: str
) -> None:
    """With the pair, and the cure."""
    (tmp_path / "config.csv").write_text(HEADER + rows)
    with pytest.raises(Trouble, match=named):
        since(tmp_path)


def test_minimum_is_that_which_kraken_tells(traded: FakeKraken, tmp_path: Path) -> None:
    """Not one that was built in long ago."""
    traded.change_pair("XBTUSD", ordermin="5")
    assert since(tmp_path).record["rows"][0]["refused"] == "EOrder:Order minimum not met"
