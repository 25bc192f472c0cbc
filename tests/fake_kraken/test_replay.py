"""Prices to play: recorded minutes and random walks."""

import itertools
from decimal import Decimal
from pathlib import Path

import pytest

from fake_kraken.replay import Minute, random_path, read_replay, rows_of

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
