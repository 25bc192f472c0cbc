"""The words of a run: addresses, lists of rows, and what ends as a sentence does."""

from __future__ import annotations

import pytest

from ttslo_app.run import words


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://api.kraken.com/", "Kraken (https://api.kraken.com)"),
        (
            "https://me:secret@proxy.example/kraken?key=1",
            "https://proxy.example/kraken (not Kraken)",
        ),
        ("https://api.kraken.com.evil.example", "https://api.kraken.com.evil.example (not Kraken)"),
        ("https://api.kraken.com@evil.example", "https://evil.example (not Kraken)"),
    ],
)
def test_address_is_shown_without_a_login_and_judged_by_its_host(address: str, shown: str) -> None:
    """What looks like Kraken is not."""
    assert words.place_of(address) == shown


def test_many_rows_are_counted_and_not_all_named() -> None:
    """A sentence about thousands of rows still fits."""
    said = words.not_checked_yet([f"r{n}" for n in range(1000)], "no answer..")
    assert "r0, r1, r2, r3, r4 and 995 more: no answer. It" in said.text


def test_rows_that_cannot_fire_are_named_within_reason() -> None:
    """A pair with a thousand rows is told in one line, and the reason has one full stop."""
    said = words.cannot_fire("BTC/USD", [f"r{n}" for n in range(1000)], "gone.").text
    assert said.startswith("r0, r1, r2, r3, r4 and 995 more: CANNOT FIRE: BTC/USD has no price")
    assert "(gone). It is asked again" in said
    assert len(said) < 200


@pytest.mark.parametrize(
    ("reason", "ended"),
    [
        ("no frame for 3.0 s", "no frame for 3.0 s."),
        ("no frame.", "no frame."),
        ("was the machine asleep?", "was the machine asleep?"),
    ],
)
def test_reason_ends_as_a_sentence_does(reason: str, ended: str) -> None:
    """It comes from elsewhere, with or without a full stop, or as a question."""
    blind = words.blind("12:00:00Z", ["BTC/USD"], reason, 5.0).text
    assert f"for BTC/USD: {ended} Reconnecting" in blind
    put_off = words.put_off("The orders cannot be watched", reason).text
    assert put_off == f"The orders cannot be watched: {ended} It is tried again"
