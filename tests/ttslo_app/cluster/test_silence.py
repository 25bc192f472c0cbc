"""A store that does not answer is told of every minute, and once when it is back."""

import pytest

from ttslo_app.cluster.silence import Silence


def texts(silence: Silence, moments: list[float], *, leads: bool = True) -> list[str]:
    """Return what is said at some moments; empty for nothing."""
    said = (silence.news(now, leads=leads) for now in moments)
    return ["" if one is None else one.text for one in said]


def test_short_silence_is_none() -> None:
    """An election among the nodes takes a second or two."""
    silence = Silence(100.0)
    assert texts(silence, [100.0, 101.9]) == ["", ""]
    silence.heard(101.9)
    assert texts(silence, [103.8]) == [""]


@pytest.mark.parametrize(
    ("leads", "part"), [(True, "NO ORDER can be placed"), (False, "this host cannot take over")]
)
def test_silence_says_what_it_means_for_this_host(leads: bool, part: str) -> None:
    """Whoever leads places nothing, and whoever follows cannot help."""
    (text,) = texts(Silence(0.0), [2.0], leads=leads)
    assert part in text
    assert "for 2 s" in text


def test_silence_that_goes_on_is_told_every_minute() -> None:
    """Nobody may have looked the first time."""
    said = texts(Silence(0.0), [2.0, 10.0, 61.9, 62.0, 100.0, 122.0])
    assert [bool(text) for text in said] == [True, False, False, True, False, True]


def test_store_that_is_back_is_told_once() -> None:
    """And the next silence is news again, at once."""
    silence = Silence(0.0)
    texts(silence, [2.0])
    silence.heard(5.0)
    assert texts(silence, [5.0, 5.1]) == ["The store answers again", ""]
    assert [bool(text) for text in texts(silence, [6.9, 7.0])] == [False, True]


def test_silence_lasts_since_the_last_answer() -> None:
    """By that a host knows that it hears nothing, whatever was told of it."""
    silence = Silence(100.0)
    assert silence.lasts(103.0) == 3.0
    silence.heard(104.0)
    assert silence.lasts(104.5) == 0.5
