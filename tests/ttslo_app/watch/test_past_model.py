"""Pages of the past from a model of Kraken: whatever falls on their edges, no trade is left out."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kits.common.examples import many
from ttslo_app.messages import Past
from ttslo_app.watch import past as past_room
from ttslo_app.watch.past import Bounds, LookBack, read_bars, read_trades
from ttslo_app.watch.tape import Position

S = 1_000_000_000
START = 1_000_000 * S
PAGE = 5
NOW = 1_000_900.0


def trades_of(moments: list[tuple[int, int]]) -> list[Past]:
    """Return trades: so many at a moment each, so many times 2 us after the one before."""
    found, at_ns = list[Past](), START
    for pause, count in moments:
        at_ns += pause * 2000
        found += [Past(len(found) + n + 1, Decimal(100), at_ns) for n in range(count)]
    return found


def page_after(trades: list[Past], since: str) -> list[Past]:
    """Return the page that Kraken gives: the oldest trades after `since`."""
    return [one for one in trades if one.at_ns > int(since)][:PAGE]


def walked(look: LookBack, trades: list[Past]) -> int:
    """Let a look back go through all its pages; return how many there were."""
    pages = 0
    while not look.is_complete:
        look.add_trades(page_after(trades, look.since))
        pages += 1
        assert pages < 200
    return pages


_moments = st.lists(
    st.tuples(st.sampled_from([1, 2, 500_000, 700_000]), st.integers(1, PAGE - 1)),
    min_size=1,
    max_size=30,
)


@settings(max_examples=many(80))
@given(_moments, st.integers(0, 60))
def test_all_trades_after_the_place_come_in_order_and_once(
    moments: list[tuple[int, int]], seen: int
) -> None:
    """However they lie to the pages, and several at a moment; the hole is never left too early."""
    trades = trades_of(moments)
    seen = min(seen, len(trades) - 1)
    after = Position(seen, trades[seen - 1].at_ns if seen else START)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(past_room, "_PAGE", PAGE)
        look = LookBack(after, NOW, Bounds())
        walked(look, trades)
        assert [one for one in look.past if one.trade_id > seen] == trades[seen:]
        assert look.newest == trades[-1]
        assert [one.trade_id for one in look.past] == sorted({t.trade_id for t in look.past})
        assert not look.is_cut
        assert look.bars_wanted(NOW) is None
        # There is more by now: it goes on from where it was, and what came is kept.
        later = Past(len(trades) + 1, Decimal(1), trades[-1].at_ns + 2000)
        look.go_on()
        assert walked(look, [*trades, later]) <= 2
        assert [one for one in look.past if one.trade_id > seen] == [*trades[seen:], later]


@settings(max_examples=many(40))
@given(st.integers(1, 40), st.integers(1, 20))
def test_hole_with_too_many_trades_is_cut_and_candles_follow_the_newest(
    most: int, pages: int
) -> None:
    """Not before so many have come, and never within the page that is the last anyway."""
    trades = trades_of([(500_000, 1)] * (pages * PAGE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(past_room, "_PAGE", PAGE)
        look = LookBack(Position(0, START), NOW, Bounds(trades=most))
        walked(look, trades)
        found = [one.trade_id for one in look.past]
        assert found == list(range(1, len(found) + 1))
        assert look.is_cut == (len(found) < len(trades) or len(found) >= most)
        if not look.is_cut:
            return
        assert len(found) >= most
        wanted = look.bars_wanted(NOW)
        assert wanted is not None
        minutes, since = wanted
        assert since < trades[len(found) - 1].at_ns // S  # the first candle is needed whole
        assert (since + 1) % (minutes * 60) == 0
        bars = [Past(0, Decimal(1), trades[-1].at_ns, minutes * 60)]
        look.add_bars(bars)
        assert look.past[-1:] == bars
        assert look.bars_wanted(NOW) is None


@pytest.mark.parametrize(
    ("away", "minutes"),
    [
        (86_400 + 60, 5),
        (2 * 86_400, 5),
        (3 * 86_400, 15),
        (8 * 86_400, 30),
        (16 * 86_400, 60),
        (100 * 86_400, 240),
        (500 * 86_400, 1440),
        (5000 * 86_400, 1440),
    ],
)
def test_candles_are_as_fine_as_they_reach(away: int, minutes: int) -> None:
    """720 of them, from before the place on; none where the trades reach it."""
    now = 1_700_000_000.0
    look = LookBack(Position(1, round((now - away) * S)), now, Bounds())
    assert look.bars_wanted(now) is None  # the trades come first
    look.add_trades([])
    wanted = look.bars_wanted(now)
    assert wanted is not None
    assert wanted[0] == minutes
    begin = wanted[1] + 1
    assert begin % (minutes * 60) == 0
    assert 0 <= now - away - begin < minutes * 60
    assert int(look.since) == (1_700_000_000 - 86_400) * S


@pytest.mark.parametrize(("away", "needs_candles"), [(86_401.0, False), (86_401.5, True)])
def test_candles_are_needed_where_the_trades_do_not_reach(away: float, needs_candles: bool) -> None:
    """Trades are asked for a second before what they must reach."""
    now = 1_700_000_000.0
    look = LookBack(Position(1, round((now - away) * S)), now, Bounds())
    look.add_trades([])
    assert (look.bars_wanted(now) is not None) is needs_candles


def test_candles_stand_before_the_trades_that_go_on_from_them() -> None:
    """A candle of the time that the trades tell says nothing new."""
    now = 1_700_000_000.0
    oldest = round((now - 86_400) * S)
    look = LookBack(Position(1, oldest - 9000 * S), now, Bounds())
    trades = [Past(7, Decimal(1), oldest + 5 * S), Past(9, Decimal(2), oldest + 6 * S)]
    look.add_trades(trades)
    early = Past(0, Decimal(3), oldest - 1, 300)
    late = Past(0, Decimal(4), oldest, 300)
    look.add_bars([early, late])
    assert look.past == [early, *trades]
    look = LookBack(Position(1, oldest - 9000 * S), now, Bounds())
    look.add_trades([])
    look.add_bars([early, late])
    assert look.past == [early, late]  # where there are no trades they tell it all


# --- answers at their bounds ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "value", "is_sound"),
    [
        (6, 0, True),
        (6, 10**15 - 1, True),
        (6, 10**15, False),
        (6, -1, False),
        (2, 0, True),
        (2, -0.1, False),
        (2, 1e300, False),
        (2, float("nan"), False),
        (2, "x", False),
        (0, "1e-30", True),
        (0, "-1", False),
        (0, "0", False),
    ],
)
def test_trade_is_read_within_what_can_be(place: int, value: object, is_sound: bool) -> None:
    """One row that cannot be is an answer that cannot be read: none is left out in silence."""
    row: list[object] = ["100.5", "1", 1_700_000_000.25, "b", "m", "", 7]
    sound = list(row)
    row[place] = value
    if is_sound:
        assert len(read_trades({"X": [sound, row], "last": "1"})) == 2
    else:
        with pytest.raises(Exception, match="Trades: an answer that cannot be read"):
            read_trades({"X": [sound, row], "last": "1"})


@pytest.mark.parametrize("result", [{"X": [], "Y": [], "last": 1}, {"last": []}, {"X": {}}])
def test_answer_of_two_pairs_or_none_is_not_read(result: dict[str, object]) -> None:
    """Nobody knows which one was asked for."""
    for read in (read_trades, lambda answer: read_bars(answer, 5)):
        with pytest.raises(Exception, match="an answer that cannot be read"):
            read(result)
