"""The table: as it was captured at three widths, and never wider than it was told."""

from __future__ import annotations

import pytest

from tests.kits.signs.sign_kit import (
    CAPTURES,
    NOW,
    WIDTHS,
    capture,
    connection,
    event,
    lines_of,
    order,
    row,
    snapshot,
)
from ttslo_app.face.snapshot import Snapshot
from ttslo_app.face.table import text_of


def shown(what: Snapshot, width: int = 120, height: int | None = None) -> str:
    """Return the text of a table."""
    return text_of(lines_of(what, width, height))


def styles_of(what: Snapshot, text: str) -> set[str]:
    """Return the styles of the lines that hold `text`."""
    return {style for line in lines_of(what, 120) for part, style in line if text in part}


@pytest.mark.parametrize("width", WIDTHS)
def test_table_is_as_it_was_captured(width: int) -> None:
    """`python tests/kits/signs/sign_kit.py` captures it anew; look at what has changed."""
    assert capture(width) == (CAPTURES / f"table-{width}.txt").read_text(encoding="utf-8")


LONG = snapshot(
    rows=(
        row("a_row_with_a_name_that_somebody_liked_to_be_long" * 3, price="0.000000012345"),
        row("b", pair="PEPE-VERY-LONG/USD", condition="at or below 0.00000000123456789"),
    ),
    orders=(order(row="x" * 80, stop="0.00000001", txid="T" * 60),),
    events=(event("word " * 100), event("w" * 500)),
    exchange="https://" + "a" * 200,
)


TORN = snapshot(connections=(connection(), connection("2", down_for=5.0), connection("pairs")))


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 100, 120, 200, 1000])
@pytest.mark.parametrize("what", [snapshot(), LONG, TORN, snapshot(rows=(), orders=(), events=())])
def test_no_line_is_wider_than_the_terminal(what: Snapshot, width: int) -> None:
    """Whatever its rows are called."""
    lines = shown(what, width).split("\n")
    assert max(map(len, lines)) <= width


def test_narrow_table_still_tells_row_state_price_and_distance() -> None:
    """That is what somebody looks for on a telephone."""
    text = shown(snapshot(), 40)
    assert "btc_top  armed" in text
    assert "118000.1   1.69 %" in text
    assert "240.96  2.96 %" in text


@pytest.mark.parametrize("height", [6, 10, 14, 17, 20, 40])
def test_table_fits_the_height_of_a_terminal(height: int) -> None:
    """Else its head, which matters most, would scroll away."""
    many = snapshot(rows=tuple(row(f"r{n}") for n in range(30)))
    lines = lines_of(many, 80, height)
    assert len(lines) <= height
    assert "runs and sees" in lines[0][0][0]


def test_stops_are_kept_when_rows_and_events_have_no_room() -> None:
    """Money stands there."""
    many = snapshot(rows=tuple(row(f"r{n}") for n in range(30)))
    text = shown(many, 80, 16)
    assert "240.96" in text
    assert "more lines" in text
    assert "last events" not in text


def test_newest_events_are_kept() -> None:
    """The oldest go first."""
    text = shown(snapshot(), 120, 17)
    assert "sees again" in text
    assert "crossed 250" not in text


def test_control_characters_of_a_row_are_shown_and_not_obeyed() -> None:
    """A name in config.csv must not move the cursor."""
    bad = snapshot(rows=(row("a\x1b[2Jb"),), events=(event("\x1b[31mred\nline"),))
    text = shown(bad)
    assert "\x1b" not in text
    assert "a\\x1b[2Jb" in text
    assert "red\\nline" in text


def test_states_have_their_styles() -> None:
    """Trouble is seen at a glance."""
    what = snapshot(rows=(row("good"), row("dark", state="blind"), row("idle", state="disabled")))
    assert styles_of(what, "good ") == {"good"}
    assert styles_of(what, "dark ") == {"bad"}
    assert styles_of(what, "idle ") == {"dim"}


def test_events_have_the_style_of_their_level() -> None:
    """Warnings and errors stand out."""
    events = (event("calm"), event("odd", "WARNING"), event("broken", "ERROR"))
    what = snapshot(events=events)
    assert styles_of(what, "calm") == {"plain"}
    assert styles_of(what, "odd") == {"warn"}
    assert styles_of(what, "broken") == {"bad"}


@pytest.mark.parametrize(
    ("mode", "title"), [("LIVE", "stops at Kraken"), ("PAPER", "stops on paper")]
)
def test_stops_on_paper_are_not_called_krakens(mode: str, title: str) -> None:
    """A rehearsal cannot be mistaken for the real thing, nor the reverse."""
    assert title in text_of(lines_of(snapshot(mode=mode), 80)).splitlines()


def test_triggered_stop_stands_out() -> None:
    """It is being filled at this moment."""
    assert styles_of(snapshot(orders=(order(is_triggered=True),)), "240.96") == {"warn"}


def test_verdict_of_a_dead_program_is_bad_and_its_figures_are_dated() -> None:
    """Nobody may take them for those of now."""
    lines = lines_of(snapshot(written_at=NOW - 3600), 120)
    assert lines[0][0][1] == "bad"
    assert "What follows is from 1 h ago." in text_of(lines)


def test_living_program_s_figures_are_not_dated() -> None:
    """They are of now."""
    assert "What follows" not in shown(snapshot())


def test_what_is_not_known_is_a_dash_and_never_a_number() -> None:
    """A missing price is not zero."""
    what = snapshot(rows=(row(price=None, away=None, age=None, source=None),), orders=())
    line = next(line for line in shown(what).splitlines() if line.startswith("btc_top"))
    assert line.split("at or above 120000")[1].split()[:4] == ["-", "-", "-", "-"]
    stopless = shown(snapshot(orders=(order(stop=None, best=None, away=None),)))
    assert "not told yet" in stopless


def test_no_rows_and_rows_left_out_are_said() -> None:
    """Nobody wonders whether the table is whole."""
    assert "\nnone\n" in shown(snapshot(rows=()))
    assert "and 12 more rows" in shown(snapshot(left_out=12))


def test_program_without_a_stream_says_so() -> None:
    """There is no link whose state could be told."""
    assert "prices over REST only" in shown(snapshot(link="none", frame_age=None))


def test_old_proofs_are_told_in_words() -> None:
    """Thousands of seconds say nothing."""
    assert "2 h 5 min" in shown(snapshot(rows=(row(age=7500.0),)))


def test_event_of_another_day_has_its_date() -> None:
    """A time alone would mislead."""
    assert "2027-01-14 08:00:00Z  old" in shown(snapshot(events=(event("old", before=86400),)))


def test_connections_are_told_where_there_are_several() -> None:
    """Below the one line of the first, and in the style of trouble where one is down."""
    whole = (connection(), connection("2", subscriptions=7))
    assert "2 connections: 1 live" in shown(snapshot(connections=whole))
    assert styles_of(snapshot(connections=whole), "2 live, 7 subscriptions") == {"plain"}
    assert styles_of(TORN, "2 DOWN for 5 s") == {"bad"}
    assert "connections" not in shown(snapshot())
