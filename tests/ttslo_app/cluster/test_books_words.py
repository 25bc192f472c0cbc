"""What is said where the store does not take what a host writes."""

import pytest

from ttslo_app.cluster import books_words as words


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (words.LEADS_NO_MORE, "another host leads"),
        (words.keeps_changing("row/btc"), "row/btc keeps changing"),
        (words.changed_by_others("life/btc"), "life/btc in the store was changed by somebody"),
        (words.edited("row/btc"), "row/btc in the store was changed a moment ago"),
    ],
)
def test_each_names_what_it_is_about_and_fits(text: str, part: str) -> None:
    """They end an error's sentence, which is at most two lines long."""
    assert part in text
    assert len(text) <= 160


def test_what_stands_in_the_store_cannot_break_the_screen() -> None:
    """Keys hold ids, which people choose."""
    assert "\x1b" not in words.changed_by_others("a\x1b[2J") + words.edited("\x1b")
