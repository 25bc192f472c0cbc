"""Spans and grids, as people write them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from ttslo_app.backtest.asked import begin_of, grid_of

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "begin"),
    [
        ("30d", "2026-10-27T12:00"),
        (" 12H ", "2026-11-26T00:00"),
        ("2w", "2026-11-12T12:00"),
        ("2026-11-01", "2026-11-01T00:00"),
        ("2026-11-01T12:30", "2026-11-01T12:30"),
        ("2026-11-01T12:30+02:00", "2026-11-01T10:30"),
    ],
)
def test_span_begins_when_it_says(text: str, begin: str) -> None:
    """In UTC, where nothing else is said."""
    expected = datetime.fromisoformat(begin).replace(tzinfo=UTC).timestamp()
    assert begin_of(text, NOW) == round(expected * 1e9)


@pytest.mark.parametrize(
    "text",
    ["", "30", "d", "-3d", "0d", "30 days", "2026-13-01", "2027-01-01", "1990-01-01", "9999w"],
)
def test_span_that_is_none_is_refused(text: str) -> None:
    """An empty one, one to come and one before all exchanges, too."""
    with pytest.raises(ValueError, match=r".*"):
        begin_of(text, NOW)


def test_grid_has_equal_steps_with_both_ends() -> None:
    """Percents of the first price on one side, offsets on the other."""
    grid = grid_of(["threshold=+1%..+20%:20", "offset=0.5%..10%:20"])
    assert list(map(int, grid.threshold.values[:2])) == [1, 2]
    assert (len(grid.threshold.values), grid.threshold.values[-1]) == (20, Decimal(20))
    assert grid.offset.values[:2] == (Decimal("0.5"), Decimal(1))
    assert grid.offset.values[-1] == 10
    assert grid.threshold.is_share


def test_thresholds_become_prices_on_the_tick() -> None:
    """Whether they are percents or prices."""
    grid = grid_of(["offset=1%", "threshold=-1%..1%:3"])
    tick, first = Decimal("0.1"), Decimal("50000.7")
    assert grid.threshold.prices_from(first, tick) == (
        Decimal("49500.7"),
        Decimal("50000.7"),
        Decimal("50500.7"),
    )
    plain = grid_of(["offset=1%", "threshold=50000..60000:3"]).threshold
    assert plain.prices_from(first, tick) == tuple(map(Decimal, (50000, 55000, 60000)))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "both threshold and offset are needed"),
        (["threshold=+1%..+2%:2"], "both threshold and offset are needed"),
        (["threshold=+1%..+2%:2", "threshold=+1%"], "no side of the grid"),
        (["threshold=+1%", "width=2%"], "'width=2%' is no side"),
        (["threshold=+1%..x:2", "offset=1%"], "'+1%..x:2' is no range"),
        (["threshold=+1%..+2%", "offset=1%"], "is no range"),
        (["threshold=+1%..2:3", "offset=1%"], "both ends are percents, or none is"),
        (["threshold=+1%..+2%:1", "offset=1%"], "2 to 60 steps"),
        (["threshold=+1%..+2%:61", "offset=1%"], "2 to 60 steps"),
        (["threshold=+1%", "offset=1"], "offsets are percents"),
        (["threshold=+1%", "offset=0%..5%:3"], "above 0 and under 100"),
        (["threshold=+1%", "offset=5%..100%:3"], "above 0 and under 100"),
        (["threshold=-100%", "offset=5%"], "is no price"),
        (["threshold=-5", "offset=5%"], "-5"),
        (["threshold=0..5:3", "offset=5%"], "0"),
    ],
)
def test_grid_that_is_none_is_refused_with_its_form(words: list[str], named: str) -> None:
    """With what cannot be read."""
    with pytest.raises(ValueError, match=r".*") as caught:
        grid_of(words)
    assert named in str(caught.value)
