"""Foreign text: one line, all of it visible, and without a name and password."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.foreign import LONGEST, shown, some_of, without_login


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("EOrder:Insufficient funds", "EOrder:Insufficient funds"),
        ("naïve, ünïcode, 価格", "naïve, ünïcode, 価格"),
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("one\r\ntwo\ttab", r"one\r\ntwo\ttab"),
        ("turned \u202e back", r"turned \u202e back"),
        ("line\u2028end, next\x85line", r"line\u2028end, next\x85line"),
        ("nothing\u200bthere, half\ud800", r"nothing\u200bthere, half\ud800"),
    ],
)
def test_what_acts_is_shown(text: str, seen: str) -> None:
    """Escapes, line ends and marks of direction become visible; letters of all scripts stay."""
    assert shown(text) == seen


@given(st.text(), st.integers(10, 400))
def test_any_text_is_one_line_that_can_be_written(text: str, longest: int) -> None:
    """Whatever comes in, it is a line that every screen and file takes, and has an end."""
    seen = shown(text, longest)
    assert len(seen.splitlines()) <= 1
    assert "\x1b" not in seen
    assert len(seen) <= 10 * longest
    seen.encode("utf-8")


def test_long_text_is_cut() -> None:
    """A megabyte is no message, and the cut is to be seen."""
    assert shown("x" * LONGEST) == "x" * LONGEST
    assert shown("x" * 1_000_000) == "x" * (LONGEST - 3) + "..."


@pytest.mark.parametrize(
    ("address", "rest"),
    [
        ("https://api.kraken.com", "https://api.kraken.com"),
        ("https://me:hunter2@host:8443/path", "https://host:8443/path"),
        ("socks5://me:hunter2@127.0.0.1:1080", "socks5://127.0.0.1:1080"),
        ("me:hunter2@proxy:3128", "proxy:3128"),
        ("https://me:hun@ter/2@host", "https://host"),
        ("https://me:hunter2@host:port", "https://host:port"),
    ],
)
def test_name_and_password_are_left_out(address: str, rest: str) -> None:
    """Even of what is no address, and of a password with an @ or a slash in it."""
    assert without_login(address) == rest


def test_of_many_names_some_are_told_and_the_others_counted() -> None:
    """A sentence about a thousand rows stays one."""
    assert some_of([]) == ""
    assert some_of(["a", "b", "c"]) == "a, b, c"
    assert some_of(list("abcde")) == "a, b, c and 2 more"
    assert some_of(list("abcde"), 4) == "a, b, c, d and 1 more"
