"""The key that only reads: looked at from the start, and done without where it is refused."""

from __future__ import annotations

import pytest

from krakenlink.errors import AuthenticationError, KrakenConnectionError
from ttslo_app.run.reading_key import ReadingKey


class Reader:
    """A client with a key, whose answer a test chooses."""

    has_keys = True

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.asked = 0

    def query_open_orders(self) -> object:
        """Answer, or raise."""
        self.asked += 1
        if self.error:
            raise self.error
        return {}


def key_of(reader: Reader) -> tuple[ReadingKey, list[bool], list[str]]:
    """Return the check, what was told to the exchange, and what to the person."""
    used: list[bool] = []
    said: list[str] = []
    return ReadingKey(reader, used.append, lambda level, text, **_: said.append(text)), used, said


@pytest.mark.parametrize("word", ["EAPI:Invalid key", "EGeneral:Permission denied"])
def test_bad_key_is_told_once_and_replaced_until_it_is_good(word: str) -> None:
    """Orders are watched with the trading key meanwhile."""
    reader = Reader()
    key, used, said = key_of(reader)
    reader.error = AuthenticationError("OpenOrders", [word])
    key.look()
    key.look()
    assert used == [False, False]
    assert len(said) == 1
    assert said[0].startswith(f"The reading key is refused: {word}. Orders are watched with the tr")
    assert key.every() == 300
    reader.error = None
    key.look()
    assert used[-1] is True
    assert said[1:] == ["The reading key is taken again"]
    assert key.every() > 3600


def test_kraken_that_cannot_be_asked_says_nothing_of_the_key() -> None:
    """It stays in use, and is asked about again soon."""
    reader = Reader()
    key, used, said = key_of(reader)
    reader.error = KrakenConnectionError("no route", request_sent=False)
    with pytest.raises(KrakenConnectionError):
        key.look()
    assert (used, said, key.every()) == ([], [], 300)


def test_without_a_reading_key_nobody_is_asked() -> None:
    """There is none to be bad."""
    reader = Reader()
    reader.has_keys = False
    key, used, said = key_of(reader)
    key.look()
    assert (reader.asked, used, said) == (0, [], [])
