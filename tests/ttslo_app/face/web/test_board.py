"""What the page draws: prices, stops and marks out of one snapshot after the other."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.kits.signs.sign_kit import NOW, connection, order, row, snapshot
from ttslo_app.face.snapshot import Event, Snapshot, judged
from ttslo_app.face.web import board as board_room
from ttslo_app.face.web.board import MOST_CHARTS, MOST_MARKS, MOST_POINTS, Board, Trace
from ttslo_app.messages import Kind


def at(seconds: float, **changes: Any) -> Snapshot:
    """Return a snapshot so many seconds after the kit's moment, with one row and no order."""
    values: dict[str, Any] = {"rows": (row(age=0.0),), "orders": (), "events": ()}
    return snapshot(written_at=NOW + seconds, **{**values, **changes})


def told(*snapshots: Snapshot) -> dict[str, Any]:
    """Return all that a page is told after some snapshots, as it arrives."""
    board = Board()
    for one in snapshots:
        board.take(one, judged(one, one.written_at, is_alive=True))
    message: dict[str, Any] = json.loads(json.dumps(board.whole()))
    return message


def chart(*snapshots: Snapshot, pair: str = "BTC/USD") -> dict[str, Any]:
    """Return the chart of a pair after some snapshots."""
    found: dict[str, Any] = told(*snapshots)["charts"][pair]
    return found


def happened(kind: Kind, seconds: float = 0.0, name: str = "btc_top") -> Event:
    """Return an event of a row."""
    return Event(NOW + seconds, "INFO", str(kind), name, f"{name}: {kind}")


# --- lines ---------------------------------------------------------------------------------------


def test_prices_become_a_line() -> None:
    """Each at the moment of its proof."""
    prices = ("100.5", "101", "99.25")
    line = chart(*(at(n, rows=(row(price=p, age=0.25),)) for n, p in enumerate(prices)))
    assert line["points"] == [[NOW - 0.25, 100.5], [NOW + 0.75, 101.0], [NOW + 1.75, 99.25]]


def test_price_without_new_proof_is_no_new_point() -> None:
    """A line that went on would show a price of now where there is none."""
    blind = [at(n, rows=(row(age=float(n), state="blind"),)) for n in range(5)]
    assert chart(*blind)["points"] == [[NOW, 118000.1]]


@pytest.mark.parametrize("price", [None, "", "nan", "inf", "-1", "0", "1e999", "many"])
def test_what_is_no_price_is_not_drawn(price: str | None) -> None:
    """Kraken's text is foreign text."""
    assert chart(at(0, rows=(row(price=price),)))["points"] == []


def test_level_stretch_keeps_its_two_ends() -> None:
    """A quiet night costs two points."""
    line = Trace()
    for second in range(1000):
        line.add(second, 5.0)
    line.add(1000, 6.0)
    assert line.points == [(0, 5.0), (999, 5.0), (1000, 6.0)]


def test_line_goes_only_forward() -> None:
    """A clock that was set back makes no loop."""
    line = Trace()
    for moment, price in ((10, 1.0), (9, 2.0), (10, 3.0), (11, 4.0)):
        line.add(moment, price)
    assert line.points == [(10, 1.0), (11, 4.0)]


def test_long_line_stays_small_and_keeps_its_extremes() -> None:
    """The highest and the lowest price of a day are what a person looks for."""
    chance = random.Random(5)
    line, prices = Trace(), []
    for second in range(20_000):
        price = 100 + chance.random()
        if second in (3_000, 12_345):
            price = 150.0 if second == 3_000 else 50.0
        prices.append(price)
        line.add(second, price)
    kept = [price for _, price in line.points]
    assert len(line.points) <= MOST_POINTS
    assert (max(kept), min(kept)) == (150.0, 50.0)
    assert [t for t, _ in line.points] == sorted({t for t, _ in line.points})
    assert kept[-50:] == prices[-50:]  # the newest part is whole


def test_line_of_even_prices_gets_coarser_too() -> None:
    """Four neighbours of one price, two by two, leave fewer than four."""
    line = Trace()
    for second in range(10_000):
        line.add(second, float(second // 2 % 2 + 1))
    assert len(line.points) <= MOST_POINTS


# --- thresholds ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "is_drawn"),
    [("armed", True), ("blind", True), ("waiting", True), ("placed", False), ("closed", False),
     ("disabled", False), ("refused", False)],
)  # fmt: skip
def test_threshold_is_drawn_while_it_waits(state: str, is_drawn: bool) -> None:
    """One that has fired means nothing any more."""
    levels = chart(at(0, rows=(row(state=state),)))["levels"]
    assert levels == ([["btc_top", 120000.0]] if is_drawn else [])


def test_threshold_that_is_no_number_is_left_out() -> None:
    """Whatever a condition says one day, the page goes on."""
    assert chart(at(0, rows=(row(condition="at some time"),)))["levels"] == []


def test_threshold_of_a_row_that_is_gone_is_gone() -> None:
    """Its price is kept: it was so."""
    shown = chart(at(0), at(1, rows=()))
    assert (shown["levels"], len(shown["points"])) == ([], 1)


def test_row_without_a_pair_has_no_chart() -> None:
    """One that was refused shows why in the table."""
    assert told(at(0, rows=(row(pair="", price=None),)))["charts"] == {}


# --- stops ---------------------------------------------------------------------------------------


def test_stop_ratchets() -> None:
    """Each step is a point of its own, on the chart of the row's pair."""
    rows = (row(state="placed", age=0.0),)
    steps = [
        at(n, rows=rows, orders=(order(row="btc_top", pair="XXBTZUSD", stop=stop),))
        for n, stop in enumerate(("100", "101", "103"))
    ]
    stops = chart(*steps)["stops"]
    line = [[NOW, 100.0], [NOW + 1, 101.0], [NOW + 2, 103.0]]
    assert stops == {"OAAAAA-BBBBB-CCCCCC": {"row": "btc_top", "points": line}}


def test_stop_that_is_not_told_yet_is_not_drawn() -> None:
    """It stands somewhere, and nobody knows where."""
    assert chart(at(0, orders=(order(row="btc_top", stop=None),)))["stops"] == {}


def test_stop_of_a_row_that_is_gone_is_drawn_all_the_same() -> None:
    """It stands at Kraken, whatever became of its row."""
    shown = chart(at(0, rows=(), orders=(order(),)), pair="SOL/USD")
    assert shown["stops"]["OAAAAA-BBBBB-CCCCCC"]["points"] == [[NOW, 240.96]]


# --- marks ---------------------------------------------------------------------------------------


def test_order_is_marked_at_the_price_of_its_moment() -> None:
    """Once, however often the event is told."""
    placed = happened(Kind.PLACED, 0.9)
    then = at(1, rows=(row(price="120001", age=0.0),), events=(placed,))
    later = at(2, rows=(row(price="120500", age=0.0),), events=(placed,))
    marks = chart(at(0), then, later)["marks"]
    assert marks == [{"at": NOW + 0.9, "price": 120001.0, "kind": "order placed", "row": "btc_top"}]


def test_fill_is_marked_at_the_stop() -> None:
    """The price of now may be another already."""
    stop = order(row="btc_top", stop="117000")
    filled = happened(Kind.FILLED, 1.5)
    marks = chart(at(0, orders=(stop,)), at(2, events=(filled,)))["marks"]
    assert [mark["price"] for mark in marks] == [117000.0]


def test_fill_of_a_stop_that_was_never_seen_is_marked_at_the_price() -> None:
    """It may fill before anybody could look."""
    marks = chart(at(2, events=(happened(Kind.FILLED),)))["marks"]
    assert [mark["price"] for mark in marks] == [118000.1]


@pytest.mark.parametrize("kind", [Kind.START, Kind.LINK, Kind.ARMED, Kind.OTHER])
def test_other_events_are_no_marks(kind: Kind) -> None:
    """They stand in the list of events."""
    assert chart(at(0, events=(happened(kind),)))["marks"] == []


def test_event_of_an_unknown_row_is_no_mark() -> None:
    """Nor is one without a row an error."""
    events = (happened(Kind.PLACED, name="gone"), happened(Kind.PLACED, name=""))
    assert chart(at(0, events=events))["marks"] == []


def test_event_before_any_price_is_no_mark() -> None:
    """There is no height to draw it at."""
    shown = chart(at(0, rows=(row(price=None, age=None),), events=(happened(Kind.PLACED),)))
    assert shown["marks"] == []


# --- bounds --------------------------------------------------------------------------------------


def test_marks_have_a_bound() -> None:
    """A row that is armed again and again fills no memory."""
    marks = chart(*(at(n, events=(happened(Kind.PLACED, n),)) for n in range(50)))["marks"]
    assert len(marks) == MOST_MARKS
    assert marks[-1]["at"] == NOW + 49


def test_charts_have_a_bound() -> None:
    """Those that were heard of last stay."""
    pairs = [f"C{n}/USD" for n in range(MOST_CHARTS + 30)]
    charts = told(*(at(n, rows=(row(pair=pair),)) for n, pair in enumerate(pairs)))["charts"]
    assert sorted(charts) == sorted(pairs[30:])


def test_stops_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go."""
    monkeypatch.setattr(board_room, "MOST_STOPS", 3)
    shown = chart(*(at(n, orders=(order(row="btc_top", txid=f"O{n}"),)) for n in range(9)))
    assert list(shown["stops"]) == ["O6", "O7", "O8"]


# --- messages ------------------------------------------------------------------------------------


def test_nothing_is_told_before_the_first_snapshot() -> None:
    """An empty page would look like a program without rows."""
    assert (Board().whole(), Board().newest()) == (None, None)


def test_newest_message_has_the_last_points_alone() -> None:
    """Who has the rest needs no more; the rows come with each."""
    board = Board()
    for second in range(10):
        one = at(second, rows=(row(price=str(second + 1), age=0.0),),
                 orders=(order(row="btc_top", stop=str(second + 1)),))  # fmt: skip
        board.take(one, judged(one, one.written_at, is_alive=True))
    newest = board.newest()
    assert newest is not None
    line = newest["charts"]["BTC/USD"]
    assert line["points"] == [(NOW + 9, 10.0)]
    assert line["stops"]["OAAAAA-BBBBB-CCCCCC"]["points"] == [(NOW + 9, 10.0)]
    assert (newest["is_whole"], newest["snapshot"]["rows"][0]["id"]) == (False, "btc_top")


def test_message_says_what_the_snapshot_means() -> None:
    """In the words of `ttslo status`."""
    blind = at(0, rows=(row(state="blind", price=None, age=None),))
    assert told(blind)["status"] == {
        "code": 4,
        "word": "blind",
        "text": "BLIND: no proven price for btc_top; look at the network of LIVE (process 4711 "
        "on attic)",
    }


def test_page_is_told_of_several_connections_in_words() -> None:
    """The same words as in a terminal; of one there are none."""
    torn = at(0.0, connections=(connection(), connection("2", down_for=5.0)))
    assert (told(torn)["spread"], told(torn)["is_torn"]) == (torn.spread, True)
    assert "2 DOWN for 5 s" in torn.spread
    assert (told(at(0.0))["spread"], told(at(0.0))["is_torn"]) == ("", False)
