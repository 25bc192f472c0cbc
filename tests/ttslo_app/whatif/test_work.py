"""The work of `ttslo whatif`: where prices come from, what is told, and what is left out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fake_kraken import FakeKraken
from tests.kits.program.live_program import let_demo_be_patient
from ttslo_app.backtest.asked import grid_of
from ttslo_app.commands.demo import rules_around, run_demo
from ttslo_app.rules.rule import Rule, read_rule
from ttslo_app.whatif import command as whatif
from ttslo_app.whatif.work import (
    Fetching,
    Report,
    Trouble,
    columns_not_played,
    known_pairs,
    pair_named_by,
    report,
)

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


TRADES = "1641000000,50000,1\n1641000060,50500,1\n1641000120,52000,1\n1641000180,51480,1\n"


def told(
    folder: Path, *argv: str, rows: str = ROW, trades: str = TRADES, header: str = HEADER
) -> Report:
    """Return what is told of rows and trades."""
    (folder / "config.csv").write_text(header + rows)
    (folder / "XBTUSD.csv").write_text(trades)
    names = ["--config", str(folder / "config.csv"), "--trades", str(folder / "XBTUSD.csv")]
    return report(whatif.parser().parse_args([*names, *argv]))


def test_rows_that_are_left_out_are_named(tmp_path: Path) -> None:
    """Those of other pairs by their number, the others one by one."""
    rows = (
        ROW
        + "off,BTC/USD,50500,above,sell,0.01,1.0,false\n"
        + "eth,ETH/USD,4000,above,sell,0.01,1.0,true\n"
        + "bad,BTC/USD,x,above,sell,0.01,1.0,true\n"
    )
    made = told(tmp_path, rows=rows)
    remarks = made.record["remarks"]
    assert "left out: off is not enabled" in remarks
    assert "left out: 1 rows of other pairs than BTC/USD" in remarks
    assert any(remark.startswith("left out: bad: ") and "'x'" in remark for remark in remarks)
    assert [row["id"] for row in made.record["rows"]] == ["up"]
    assert all(f"note: {remark}" in made.lines for remark in remarks)


@pytest.mark.parametrize("rows", ["", "eth,ETH/USD,4000,above,sell,0.01,1.0,true\n"])
def test_config_without_a_row_of_the_pair_is_told(tmp_path: Path, rows: str) -> None:
    """With the cure."""
    with pytest.raises(Trouble, match=r"no enabled row of BTC/USD.*--pair"):
        told(tmp_path, rows=rows)


def test_threshold_far_off_the_prices_is_told(tmp_path: Path) -> None:
    """The file may be of another pair."""
    made = told(tmp_path, rows="up,BTC/USD,4000,above,sell,0.01,1.0,true\n")
    assert any("12 times off the first price 50000" in remark for remark in made.record["remarks"])
    assert told(tmp_path).record["remarks"] == []


def test_pair_that_is_not_known_goes_by_its_prices(tmp_path: Path) -> None:
    """Its smallest step is that of the file; no minimum is made up."""
    rows = "x,NEW/USD,1.5,above,sell,0.0001,10,true\n"
    trades = "1641000000,1.2345,1\n1641000060,1.5,1\n1641000120,1.2,1\n"
    made = told(tmp_path, "--pair", "NEW/USD", rows=rows, trades=trades)
    (row,) = made.record["rows"]
    assert (row["stop_first"], row["trailed"]["price"]) == ("1.3500", "1.2")


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["--config", "nope.csv", "--trades", "x.csv"], "nope.csv cannot be opened"),
        (["--trades", "nope.csv", "--pair", "BTC/USD"], "nope.csv cannot be opened"),
        (["--replay", "nope.csv", "--pair", "BTC/USD"], "nope.csv cannot be opened"),
        (["--trades", "empty.csv", "--pair", "BTC/USD"], "empty.csv holds no rows"),
    ],
)
def test_file_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str], named: str
) -> None:
    """Config, trades and recording alike."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.csv").write_text(HEADER + ROW)
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(Trouble, match=re.escape(named)):
        report(whatif.parser().parse_args(argv))


def test_real_program_on_the_same_recording_ends_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Crossings and fills are those of `--demo --replay`: one rule book, one engine."""
    let_demo_be_patient(monkeypatch)
    minutes = _minutes()
    file = tmp_path / "XBTUSD.csv"
    file.write_text("timestamp,open,high,low,close,volume\n" + "\n".join(minutes) + "\n")
    rows = rules_around(Decimal(50000))
    (tmp_path / "config.csv").write_text(HEADER + "\n".join(rows) + "\n")
    argv = ["--config", str(tmp_path / "config.csv"), "--replay", str(file)]
    made = report(whatif.parser().parse_args(argv))
    expected: dict[str, Any] = {
        row["id"]: (Decimal(row["crossed_price"]), Decimal(row["trailed"]["price"]))
        for row in made.record["rows"]
        if row["crossed_price"] and row["trailed"]["filled"]
    }
    assert len(expected) >= 2
    assert run_demo(str(file)) == 0
    said = capsys.readouterr().out.partition("What happened:")[2]
    shown = re.findall(r"^  (\w+) .*crossed at ([\d.]+) .*filled at ([\d.]+)$", said, re.MULTILINE)
    assert {name: (Decimal(at), Decimal(filled)) for name, at, filled in shown} == expected


def _minutes() -> list[str]:
    """Return minutes in which the price goes up by 5 percent, down by 20, and up again."""
    path = [50000 + 100 * n for n in range(26)] + [52500 - 250 * n for n in range(41)]
    path += [42500 + 200 * n for n in range(20)]
    return [
        f"2022-01-01 {n // 60:02d}:{n % 60:02d}:00,{price},{price + 40},{price - 40},{price + 10},1"
        for n, price in enumerate(path)
    ]


def test_candles_are_told_by_their_ends(tmp_path: Path) -> None:
    """With the terms that belong to them."""
    (tmp_path / "config.csv").write_text(HEADER + ROW)
    (tmp_path / "XBTUSD_1.csv").write_text(
        "1641000000,50000,50500,50000,50500,1,9\n1641000060,50500,52000,50200,51900,1,9\n"
    )
    config, file = str(tmp_path / "config.csv"), str(tmp_path / "XBTUSD_1.csv")
    made = report(whatif.parser().parse_args(["--config", config, "--candles", file]))
    assert made.lines[0].startswith("WHAT IF: 2 candles of BTC/USD, 2022-01-01T01:20:00Z to ")
    assert any(line.startswith("  worst: sold 2022-01-01T01:21:00Z") for line in made.lines)
    assert "no order of prices that fits" in " ".join(made.lines[-1].split())
    assert made.record["is_candles"]


def test_minutes_of_a_replay_say_that_their_order_is_a_guess(tmp_path: Path) -> None:
    """And where both ends are told."""
    (tmp_path / "config.csv").write_text(HEADER + ROW)
    file = tmp_path / "XBTUSD.csv"
    file.write_text("timestamp,open,high,low,close\n2022-01-01 00:00:00,50000,50600,49000,50500\n")
    argv = ["--config", str(tmp_path / "config.csv"), "--replay", str(file)]
    made = report(whatif.parser().parse_args(argv))
    assert any("--candles" in remark for remark in made.record["remarks"])


def test_file_that_is_named_after_another_pair_is_told(tmp_path: Path) -> None:
    """Whoever names a pair by hand may have taken the wrong file."""
    rows = "eth,ETH/USD,50500,above,sell,0.01,1.0,true\n"
    made = told(tmp_path, "--pair", "ETH/USD", rows=rows)
    remark = "the file's name says BTC/USD, and --pair ETH/USD: are these its prices?"
    assert remark in made.record["remarks"]


GRID = ["threshold=+1%..+4%:2", "offset=1%..5%:3"]


def test_sweep_stands_below_the_rows(tmp_path: Path) -> None:
    """With the first row's direction and volume, for a person and for a program."""
    (tmp_path / "config.csv").write_text(
        HEADER + ROW + ROW.replace("up", "two").replace("01,", "02,")
    )
    (tmp_path / "XBTUSD.csv").write_text(TRADES)
    argv = ["--config", str(tmp_path / "config.csv"), "--trades", str(tmp_path / "XBTUSD.csv")]
    for name, volume in (("up", "0.01"), ("two", "0.02")):
        options = whatif.parser().parse_args([*argv, "--row", name])
        options.sweep = grid_of(GRID)
        made = report(options)
        assert f"SWEEP: sell {volume}, as {name}" in made.lines
        assert made.record["sweep"]["row"] == name
        assert len(made.record["sweep"]["gain_best"]) == 2


def test_row_that_is_not_there_cannot_be_swept(tmp_path: Path) -> None:
    """Those that are there are named."""
    (tmp_path / "config.csv").write_text(HEADER + ROW)
    (tmp_path / "XBTUSD.csv").write_text(TRADES)
    argv = ["--config", str(tmp_path / "config.csv"), "--trades", str(tmp_path / "XBTUSD.csv")]
    options = whatif.parser().parse_args([*argv, "--row", "nope"])
    options.sweep = grid_of(GRID)
    with pytest.raises(Trouble, match="--row nope: there is no such row among up"):
        report(options)


def test_no_sweep_is_told_as_none(tmp_path: Path) -> None:
    """A program need not look whether the key is there."""
    assert told(tmp_path).record["sweep"] is None


def test_rows_with_columns_that_cannot_be_played_are_left_out_by_name(tmp_path: Path) -> None:
    """Rather than played as if they said something else; money for an offset is played."""
    header = HEADER.strip() + ",trailing_offset_quote,limit_offset,expires\n"
    rows = (
        "up,BTC/USD,50500,above,sell,0.01,1.0,true,,,\n"
        "money,BTC/USD,50500,above,sell,0.01,,true,500,,\n"
        "limit,BTC/USD,50500,above,sell,0.01,1.0,true,,1%,\n"
        "ends,BTC/USD,50500,above,sell,0.01,1.0,true,,,+30d\n"
    )
    made = told(tmp_path, rows=rows, header=header)
    assert [one["id"] for one in made.record["rows"]] == ["up", "money"]
    assert made.record["rows"][1]["stop_first"] == "50000.0"
    remarks = made.record["remarks"]
    assert "left out: limit: whatif cannot play limit_offset yet" in remarks
    assert "left out: ends: whatif cannot play expires yet" in remarks


def test_rows_that_belong_together_are_left_out_by_name(tmp_path: Path) -> None:
    """Which of them fires, or whether one is armed at all, is not played."""
    header = HEADER.strip() + ",group,after\n"
    rows = (
        "up,BTC/USD,50500,above,sell,0.01,1.0,true,,\n"
        "one,BTC/USD,50500,above,sell,0.01,1.0,true,exit,\n"
        "two,BTC/USD,49000,below,sell,0.01,1.0,true,exit,\n"
        "back,BTC/USD,49000,below,buy,0.01,1.0,true,,one\n"
    )
    made = told(tmp_path, rows=rows, header=header)
    assert [one["id"] for one in made.record["rows"]] == ["up"]
    for name, column in (("one", "group"), ("two", "group"), ("back", "after")):
        assert f"left out: {name}: whatif cannot play {column} yet" in made.record["remarks"]


@dataclass(frozen=True)
class _Later(Rule):
    """A row of a later version, with a column that nobody here knows."""

    expires_after: str = ""


def test_column_that_cannot_be_played_is_named() -> None:
    """A row is left out rather than played without what it says."""
    known = {
        "id": "btc",
        "pair": "BTC/USD",
        "threshold_price": "1",
        "threshold_type": "above",
        "direction": "sell",
        "volume": "1",
        "trailing_offset_percent": "1",
        "enabled": "true",
        "when_blind": "always",
    }
    rule = read_rule(known)
    values = {one.name: getattr(rule, one.name) for one in fields(rule)}
    assert columns_not_played(rule) == []
    assert columns_not_played(_Later(**values)) == []
    assert columns_not_played(_Later(**values, expires_after="2h")) == ["expires_after"]
