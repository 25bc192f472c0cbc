"""Files of prices: exact, in order, and every oddity told."""

from __future__ import annotations

import gzip
import random
import sys
import zipfile
from decimal import Decimal
from pathlib import Path

import pytest

from tests.kits.common.odd_files import ODD
from ttslo_app.backtest.recording import BadRecording, read_candles, read_minutes, read_trades

ROWS = ("1641000000,50000.1,0.5", "1641000000.25,50000.2,0.1", "1641000001,49999.9,2")


def file_of(folder: Path, *rows: str, name: str = "XBTUSD.csv") -> Path:
    """Write rows to a file, compressed as its name says."""
    path, text = folder / name, "".join(f"{row}\n" for row in rows).encode()
    if name.endswith(".gz"):
        text = gzip.compress(text)
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("XBTUSD.csv", text)
    else:
        path.write_bytes(text)
    return path


@pytest.mark.parametrize("name", ["XBTUSD.csv", "XBTUSD.csv.gz", "XBTUSD.zip"])
def test_time_and_sales_are_read_to_the_digit(tmp_path: Path, name: str) -> None:
    """Whatever they are packed in."""
    history = read_trades(file_of(tmp_path, *ROWS, name=name)).history
    assert [history.price_at(i) for i in range(3)] == [
        Decimal(text) for text in ("50000.1", "50000.2", "49999.9")
    ]
    assert [int(at) - 1641000000 * 10**9 for at in history.at_ns] == [0, 250_000_000, 10**9]
    assert history.tick == 10**9


def test_rows_out_of_order_are_ordered_and_told(tmp_path: Path) -> None:
    """Rows of one moment keep theirs."""
    recording = read_trades(file_of(tmp_path, ROWS[2], ROWS[0], ROWS[1]))
    assert recording.history.price_at(0) == Decimal("50000.1")
    assert recording.remarks == ("1 rows stood before older ones; all were put in order of time",)


def test_holes_are_told(tmp_path: Path) -> None:
    """What crossed in them is not known."""
    recording = read_trades(file_of(tmp_path, ROWS[0], "1641300000,50000.1,1"))
    assert recording.remarks[0].startswith("1 holes of more than a day, the longest of 3.5 days")
    assert read_trades(file_of(tmp_path, *ROWS)).remarks == ()


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ((), "holds no rows"),
        (("timestamp,price,volume", ROWS[0]), "without a header"),
        (("1641000000,abc,1",), "cannot be read to its end"),
        (("1641000000,50000",), "cannot be read to its end"),
        (("1641000000000,50000,1",), "such as a moment in milliseconds"),
        (("1641000000,0,1",), "row 1: the price is not above 0"),
        ((ROWS[0], "1641000000,-5,1"), "row 2: the price is not above 0"),
    ],
)
def test_file_that_is_no_time_and_sales_is_refused(
    tmp_path: Path, rows: tuple[str, ...], named: str
) -> None:
    """With its name, and what to do."""
    with pytest.raises(BadRecording, match=r"XBTUSD\.csv") as caught:
        read_trades(file_of(tmp_path, *rows))
    assert named in str(caught.value)


def test_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    """Half a download is no whole one."""
    path = file_of(tmp_path, *(ROWS * 5000), name="XBTUSD.csv.gz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadRecording, match="fetch it again"):
        read_trades(path)
    broken = tmp_path / "XBTUSD.zip"
    broken.write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(BadRecording, match="fetch it again"):
        read_trades(broken)


def test_zip_must_hold_the_one_file(tmp_path: Path) -> None:
    """Which of several is meant nobody knows."""
    path = tmp_path / "Kraken_Trading_History.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("XBTUSD.csv", "ETHUSD.csv"):
            archive.writestr(name, ROWS[0])
    with pytest.raises(BadRecording, match=r"it holds XBTUSD\.csv, ETHUSD\.csv: unpack the one"):
        read_trades(path)


def test_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that brings it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BadRecording, match="pip install pyarrow"):
        read_trades(file_of(tmp_path, *ROWS))


def test_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    """For whoever names it."""
    for name in ("nope.csv", "nope.csv.gz", "nope.zip"):
        with pytest.raises(OSError, match="nope"):
            read_trades(tmp_path / name)


def test_minutes_are_four_prices_of_one_moment(tmp_path: Path) -> None:
    """As the demo plays them."""
    path = tmp_path / "minutes.csv"
    path.write_text("timestamp,open,high,low,close,volume\n2022-01-01 00:00:00,100,110,95,105,1\n")
    history = read_minutes(path).history
    assert [history.price_at(i) for i in range(4)] == [100, 95, 110, 105]
    assert len(set(history.at_ns.tolist())) == 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("timestamp,open,high,low,close\n", "holds no prices"),
        ("timestamp,open,high,low,close\nx,1,1,1,1\n", "line 2, timestamp: 'x'"),
        ("timestamp,open,high,low,close\n2022-01-01,1,1,1,1.00000000001\n", "10 decimals"),
    ],
)
def test_minutes_that_cannot_be_read_are_refused(tmp_path: Path, text: str, named: str) -> None:
    """With line, field and value."""
    path = tmp_path / "minutes.csv"
    path.write_text(text)
    with pytest.raises(BadRecording, match=named):
        read_minutes(path)


CANDLES = (
    "1641000000,50000.1,50010.0,49990.5,50001.0,1.5,12",
    "1641000060,50001.0,50001.0,50001.0,50001.0,0.1,1",
    "1641000180,50001.0,50100.0,50000.0,50050.0,2,40",
)


@pytest.mark.parametrize("name", ["XBTUSD_1.csv", "XBTUSD_1.csv.gz", "XBTUSD_1.zip"])
def test_candles_are_read_to_the_digit(tmp_path: Path, name: str) -> None:
    """With their number of trades, whatever they are packed in."""
    recording = read_candles(file_of(tmp_path, *CANDLES, name=name))
    made = recording.candles
    assert len(made) == 3
    assert made.first_price == Decimal("50000.1")
    assert made.extremes == (Decimal("49990.5"), Decimal(50100))
    assert made.trades.tolist() == [12, 1, 40]
    assert [int(at) // 10**9 - 1641000000 for at in made.at_ns] == [0, 60, 180]
    assert (made.tick, recording.remarks) == (10**9, ())


def test_candles_out_of_order_and_twice_are_put_right_and_told(tmp_path: Path) -> None:
    """Each stands once, in order of time."""
    rows = (CANDLES[2], CANDLES[0], CANDLES[1], CANDLES[1])
    recording = read_candles(file_of(tmp_path, *rows))
    assert (recording.candles.at_ns[1:] > recording.candles.at_ns[:-1]).all()
    assert recording.candles.trades.tolist() == [12, 1, 40]
    assert recording.remarks == (
        "1 rows stood before older ones; all were put in order of time",
        "1 candles stood twice; each counts once",
    )


def test_candles_with_a_hole_are_told(tmp_path: Path) -> None:
    """Nobody knows what crossed in it."""
    late = CANDLES[1].replace("1641000060", "1641300000")
    (remark,) = read_candles(file_of(tmp_path, CANDLES[0], late)).remarks
    assert remark.startswith("1 holes of more than a day, the longest of 3.5 days")


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ((), "holds no rows; it needs rows of timestamp,open,high,low,close,volume,trades"),
        (("1641000000,50000,1",), "cannot be read to its end"),
        (("timestamp,open,high,low,close,volume,trades", CANDLES[0]), "without a header"),
        ((CANDLES[0], "1641000060,10,20,11,15,1,5"), "row 2: the open or the close is not between"),
        (("1641000060,15,20,11,21,1,5",), "row 1: the open or the close is not between"),
        (("1641000060,0,20,0,15,1,5",), "row 1"),
        ((CANDLES[0], CANDLES[0].replace("50001.0,1.5", "50002.0,1.5")), "two candles of one"),
        (("1641000000000,15,20,11,15,1,5",), "such as a moment in milliseconds"),
        (("16410000,15,20,11,15,1,5",), "the moment 16410000 lies before 2010"),
        (("5641000000,15,20,11,15,1,5",), "the moment 5641000000 lies before 2010 or after 2100"),
    ],
)
def test_file_that_holds_no_candles_is_refused(
    tmp_path: Path, rows: tuple[str, ...], named: str
) -> None:
    """With its name, and what to do."""
    with pytest.raises(BadRecording, match=r"XBTUSD\.csv") as caught:
        read_candles(file_of(tmp_path, *rows))
    assert named in str(caught.value)


def test_candles_of_a_file_that_was_cut_short_are_refused(tmp_path: Path) -> None:
    """Half a download is no whole one."""
    rows = [CANDLES[0].replace("1641000000", str(1641000000 + 60 * n)) for n in range(5000)]
    path = file_of(tmp_path, *rows, name="XBTUSD.csv.gz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadRecording, match="fetch it again"):
        read_candles(path)


def test_trades_that_stand_twice_change_no_price(tmp_path: Path) -> None:
    """They are of the same moment and price, between which nobody can act."""
    doubled = [row for row in ROWS for _ in range(2)]
    history = read_trades(file_of(tmp_path, *doubled)).history
    once = read_trades(file_of(tmp_path, *ROWS, name="ONCE.csv")).history
    assert history.price[::2].tolist() == once.price.tolist()
    assert history.after(0) == 2


@pytest.mark.parametrize("kind", ["pipe", "folder"])
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".zip"])
def test_recording_that_is_no_file_is_refused_at_once(
    kind: str, suffix: str, tmp_path: Path
) -> None:
    """A pipe would wait for whoever writes into it."""
    path = tmp_path / f"prices{suffix}"
    ODD[kind](path)
    with pytest.raises(BadRecording, match=r"no plain file|holds no"):
        read_trades(path)


@pytest.mark.parametrize("seed", range(12))
def test_any_trades_come_back_as_they_were_written(seed: int, tmp_path: Path) -> None:
    """Whatever their digits are, wherever a piece of the file ends, packed or not."""
    chance = random.Random(seed)
    places, count = chance.randrange(0, 11), chance.randrange(1, 400)
    moments = sorted(
        chance.randrange(1_400_000_000 * 10**9, 1_700_000_000 * 10**9, 1000) for _ in range(count)
    )
    prices = [Decimal(chance.randrange(1, 9 * 10**8)).scaleb(-places) for _ in range(count)]
    rows = [
        f"{at // 10**9}.{at % 10**9:09d},{price:f},{chance.random():.8f}"
        for at, price in zip(moments, prices, strict=True)
    ]
    name = chance.choice(["XBTUSD.csv", "XBTUSD.csv.gz", "XBTUSD.zip"])
    history = read_trades(file_of(tmp_path, *rows, name=name)).history
    assert history.at_ns.tolist() == moments
    assert [history.price_at(index) for index in range(count)] == prices
    assert all(int(price) % history.tick == 0 for price in history.price)
    assert history.extremes == (min(prices), max(prices))


@pytest.mark.parametrize("seed", range(8))
def test_shuffled_candles_come_back_in_order(seed: int, tmp_path: Path) -> None:
    """Each once, however often some of them stand in the file."""
    chance = random.Random(seed)
    rows = []
    for number in range(60):
        low = chance.randrange(10_000, 20_000)
        high = low + chance.randrange(0, 500)
        opened, close = chance.randint(low, high), chance.randint(low, high)
        rows.append(f"{1641000000 + number * 60},{opened},{high},{low},{close},1.5,{number + 4}")
    file = [*rows, *chance.sample(rows, 10)]
    chance.shuffle(file)
    recording = read_candles(file_of(tmp_path, *file))
    made = recording.candles
    again = [
        f"{int(made.at_ns[n]) // 10**9},"
        + ",".join(
            str(int(column[n]) // 10**10) for column in (made.open, made.high, made.low, made.close)
        )
        + f",1.5,{int(made.trades[n])}"
        for n in range(len(made))
    ]
    assert again == rows
    assert "10 candles stood twice; each counts once" in recording.remarks


def test_price_beyond_what_can_be_kept_is_refused(tmp_path: Path) -> None:
    """Rather than kept as another."""
    for price in ("99999999999", "0.00000000001"):
        with pytest.raises(BadRecording, match=r"XBTUSD\.csv"):
            read_trades(file_of(tmp_path, f"1641000000,{price},1"))
