"""Prices to play: recorded minutes and random walks."""

import itertools
from decimal import Decimal
from pathlib import Path

import pytest

from fake_kraken.replay import Minute, random_path, read_replay, rows_of
from tests.kits.common.odd_files import ODD

HEADER = "timestamp,open,high,low,close,volume\n"


def test_replay_is_read_as_minutes(tmp_path: Path) -> None:
    """The open comes first, the close last, and of high and low the nearer one first."""
    file = tmp_path / "replay.csv"
    rows = (
        "2022-01-31 23:58:00.000000,100,101,90,95,1\n2022-01-31T23:59:00+00:00,100,120,99,100,2\n"
    )
    file.write_text("\ufeff" + HEADER + rows, encoding="utf-8")
    minutes = list(read_replay(file))
    assert [[int(p) for p in minute.prices] for minute in minutes] == [
        [100, 101, 90, 95],
        [100, 99, 120, 100],
    ]
    assert isinstance(minutes[0], Minute)
    assert minutes[0].at.isoformat() == "2022-01-31T23:58:00+00:00"


def test_made_up_prices_are_the_same_for_the_same_seed() -> None:
    """A random walk in whole ticks, never below one."""
    start, tick = Decimal("50000.0"), Decimal("0.1")
    paths = [list(itertools.islice(random_path(start, tick, seed), 50)) for seed in (1, 1, 2)]
    assert paths[0] == paths[1] != paths[2]
    assert all(price % tick == 0 for price in paths[0])
    assert list(itertools.islice(random_path(tick, tick, 1), 3)) == [tick] * 3


def test_row_that_cannot_be_read_ends_the_minutes_before_it(tmp_path: Path) -> None:
    """What is sound is yielded first; the error names the place."""
    file = tmp_path / "replay.csv"
    file.write_text(HEADER + "2022-01-31,1,1,1,1,1\n2022-01-31,1,NaN,1,1,1\n", encoding="utf-8")
    minutes = read_replay(file)
    assert next(minutes).prices == (Decimal(1),) * 4
    with pytest.raises(ValueError, match="line 3, high: 'NaN' is no price"):
        next(minutes)


def test_rows_need_their_columns_alone(tmp_path: Path) -> None:
    """Others are handed on, and cells that are missing are empty."""
    file = tmp_path / "script.csv"
    file.write_text("seconds,pair,note\n1,XBTUSD\n", encoding="utf-8")
    ((place, row),) = rows_of(file, ("seconds", "pair"))
    assert (place, row) == (f"{file} line 2", {"seconds": "1", "pair": "XBTUSD", "note": ""})
    with pytest.raises(ValueError, match="no column price"):
        list(rows_of(file, ("price",)))


@pytest.mark.parametrize(
    ("high", "low", "expected"),
    [
        ("110", "95", ["100", "95", "110", "105"]),  # the low is nearer
        ("105", "90", ["100", "105", "90", "105"]),  # the high is nearer
        ("110", "90", ["100", "110", "90", "105"]),  # neither is: the high comes first
        ("105", "100", ["100", "100", "105", "105"]),  # it opens at its low
    ],
)
def test_nearer_end_of_a_minute_is_played_first(
    tmp_path: Path, high: str, low: str, expected: list[str]
) -> None:
    """As a path between the four would most likely go."""
    file = tmp_path / "prices.csv"
    file.write_text(
        f"timestamp,open,high,low,close,volume\n2022-01-01 00:00:00,100,{high},{low},105,1\n"
    )
    (minute,) = read_replay(file)
    assert list(minute.prices) == [Decimal(price) for price in expected]


def test_random_walk_keeps_to_its_ticks_and_never_reaches_nothing() -> None:
    """Each price is a whole number of ticks, at least one, and near the one before."""
    tick = Decimal("0.01")
    walk = random_path(Decimal("0.05"), tick, seed=1)
    path = [next(walk) for _ in range(2000)]
    assert all(price >= tick and price % tick == 0 for price in path)
    walk = random_path(Decimal(50000), Decimal("0.1"), seed=2)
    before, steps = Decimal(50000), []
    for _ in range(2000):
        price = next(walk)
        steps.append(price / before - 1)
        before = price
    assert max(map(abs, steps)) < Decimal("0.01")
    assert any(step > 0 for step in steps)
    assert any(step < 0 for step in steps)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "there is no column"),
        ("timestamp,open\n", "high, low, close"),
        ("timestamp,open,high,low,close\nnever,1,1,1,1\n", "line 2, timestamp: 'never'"),
        ("timestamp,open,high,low,close\n2022-01-01,1,x,1,1\n", "line 2, high: 'x'"),
        ("timestamp,open,high,low,close\n2022-01-01,1,1,0,1\n", "line 2, low: '0'"),
        ("timestamp,open,high,low,close\n2022-01-01,1,1\n", "line 2, low: ''"),
    ],
)
def test_file_that_cannot_be_read_names_line_field_and_value(
    tmp_path: Path, text: str, named: str
) -> None:
    """And the file, and what to write instead."""
    file = tmp_path / "prices.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"prices\.csv") as caught:
        list(read_replay(file))
    assert named in str(caught.value)


def test_file_that_is_no_text_is_told_so(tmp_path: Path) -> None:
    """A spreadsheet's own format, or another encoding."""
    file = tmp_path / "prices.csv"
    file.write_bytes(b"timestamp,open,high,low,close\n\xff\xfe,1,1,1,1\n")
    with pytest.raises(ValueError, match="write it as CSV in UTF-8"):
        list(read_replay(file))


def test_moments_without_a_zone_are_utc(tmp_path: Path) -> None:
    """Whatever zone the machine is in; others are kept."""
    file = tmp_path / "prices.csv"
    rows = ("2022-01-01 00:00:00,1,1,1,1", "2022-01-01T00:00:00+02:00,1,1,1,1")
    file.write_text("\n".join(["timestamp,open,high,low,close", *rows, ""]))
    first, second = read_replay(file)
    assert first.at.timestamp() - second.at.timestamp() == 7200


@pytest.mark.parametrize("kind", ODD)
def test_recording_that_is_no_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    """A pipe would wait for whoever writes into it."""
    path = tmp_path / "prices.csv"
    ODD[kind](path)
    with pytest.raises(ValueError, match="no plain file"):
        list(rows_of(path, ["time"]))
