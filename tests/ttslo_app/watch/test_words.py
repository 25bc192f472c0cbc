"""What the watch says."""

from __future__ import annotations

from decimal import Decimal

from watch_kit import S, rule

from ttslo_app.clocks import clock_time
from ttslo_app.messages import Past
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.watch.crossings import Deed, Touch
from ttslo_app.watch.words import deed_words, found_words, span_words


def test_no_two_deeds_read_alike() -> None:
    """A person can tell from the sentence what was done."""
    cases = [
        (Deed.DONE, WhenBlind.ALWAYS, None),
        (Deed.FIRE, WhenBlind.ALWAYS, None),
        (Deed.FIRE, WhenBlind.ARM_IF_BEYOND, Decimal(52000)),
        (Deed.STAY, WhenBlind.ARM_IF_BEYOND, Decimal(50000)),
        (Deed.STAY, WhenBlind.ARM_IF_BEYOND, None),
        (Deed.PARK, WhenBlind.NOTIFY, Decimal(52000)),
        (Deed.STAY, WhenBlind.NOTIFY, Decimal(50000)),
    ]
    assert len({deed_words(*case) for case in cases}) == len(cases)


def test_sentence_names_market_threshold_moment_and_span() -> None:
    """A trade has its second, a candle the time it covers."""
    trade = Touch(rule(), Past(1, Decimal(51200), 44 * S))
    start, end = clock_time(11), clock_time(52)
    said = found_words("BTC/USD", trade, (11.0, 52.0))
    expected = f"BTC/USD crossed 51,000 at {clock_time(44)} while blind from {start} to {end}"
    assert said == expected
    bar = Touch(rule("0.00001"), Past(0, Decimal(1), 0, 60))
    said = found_words("X", bar, (0.0, 90.0))
    assert said.startswith(f"X crossed 0.00001 between {clock_time(0)} and {clock_time(60)} while")


def test_span_of_days_shows_them() -> None:
    """Where begin and end are on different days the day is told."""
    assert span_words((0.0, 3 * 86_400.0)).count("1970-01-0") == 2
    assert "1970" not in span_words((43_200.0, 43_260.0))
