"""Pages of trades on the disk: whole and of this exchange, or not there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.kits.histories.trade_kit import KEY, page
from ttslo_app.backtest import trade_cache as room
from ttslo_app.backtest.trade_cache import TradeCache

KRAKEN, OTHER = "https://api.kraken.com", "http://127.0.0.1:8080"


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[TradeCache]:
    """Hand out a cache with two pages that follow each other."""
    with closing(filled(tmp_path)) as made:
        yield made


def filled(folder: Path, address: str = KRAKEN) -> TradeCache:
    """Return a cache with two pages that follow each other."""
    made = TradeCache(folder, address)
    made.add(KEY, page(100, 200, 1, 2, 3))
    made.add(KEY, page(200, 300, 4, 5))
    return made


def numbers(made: TradeCache, moment: int, pair: str = KEY) -> list[int] | None:
    """Return the numbers of the trades of the page that tells of a moment."""
    found = made.page_at(pair, moment)
    return None if found is None else found.number.tolist()


def test_page_comes_back_as_it_was(cache: TradeCache) -> None:
    """Numbers, moments and prices, to the last."""
    found = cache.page_at(KEY, 100)
    assert found is not None
    assert (found.begun, found.ended) == (100, 200)
    assert found.number.tolist() == [1, 2, 3]
    assert found.at_ns.tolist() == [101, 102, 103]
    assert found.price.tolist() == [10**10, 2 * 10**10, 3 * 10**10]


@pytest.mark.parametrize(
    ("moment", "expected"),
    [(99, None), (100, [1, 2, 3]), (199, [1, 2, 3]), (200, [4, 5]), (299, [4, 5]), (300, None)],
)
def test_page_tells_of_its_own_span_only(
    cache: TradeCache, moment: int, expected: list[int] | None
) -> None:
    """Its begin is in it, its end is not."""
    assert numbers(cache, moment) == expected


def test_page_that_reaches_farthest_is_taken(cache: TradeCache) -> None:
    """Where two tell of a moment, fewer steps remain after it."""
    cache.add(KEY, page(150, 900, 7))
    assert numbers(cache, 160) == [7]


def test_pairs_do_not_meet(cache: TradeCache) -> None:
    """In one file, each has its own pages."""
    assert numbers(cache, 100, "XETHZUSD") is None


def test_pages_outlive_the_process(tmp_path: Path) -> None:
    """Whoever opens the file next finds them, without a close before it."""
    made = filled(tmp_path)
    with closing(TradeCache(tmp_path, KRAKEN)) as again:
        assert numbers(again, 250) == [4, 5]
        assert again.remarks == []
    made.close()


def test_exchanges_have_files_of_their_own(tmp_path: Path) -> None:
    """What a stand-in told is no price of Kraken's."""
    filled(tmp_path).close()
    with closing(TradeCache(tmp_path, OTHER)) as other:
        assert numbers(other, 100) is None
    assert len(list(tmp_path.glob("*.sqlite"))) == 2


def test_file_of_another_exchange_under_this_name_is_set_aside(tmp_path: Path) -> None:
    """Whoever copies files about mixes nothing."""
    other = filled(tmp_path, OTHER)
    other.close()
    assert other.file is not None
    other.file.rename(tmp_path / room._file_name(KRAKEN))
    with closing(TradeCache(tmp_path, KRAKEN)) as made:
        assert numbers(made, 100) is None
        assert "of another exchange" in made.remarks[0]
        made.add(KEY, page(1, 2, 9))
        assert numbers(made, 1) == [9]
    assert list(tmp_path.glob("*.damaged"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"no database at all, but text",
        lambda data: data[: len(data) // 2],
        lambda data: data[:100],
        lambda data: data[:16] + bytes(200) + data[216:],
    ],
)
def test_damaged_file_is_set_aside_and_told(tmp_path: Path, damage: object) -> None:
    """And an empty one takes its place."""
    made = filled(tmp_path)
    for number in range(12):
        made.add(KEY, page(1000 + number, 1001 + number, *range(200)))
    made.close()
    assert made.file is not None
    made.file.write_bytes(damage(made.file.read_bytes()))  # type: ignore[operator]  # a lambda
    with closing(TradeCache(tmp_path, KRAKEN)) as again:
        assert numbers(again, 100) is None
        again.add(KEY, page(1, 2, 9))
        assert numbers(again, 1) == [9]
    assert any("set aside" in remark for remark in again.remarks)


def test_file_that_was_emptied_is_begun_anew(tmp_path: Path) -> None:
    """An empty file holds nothing, and that is no damage."""
    made = filled(tmp_path)
    made.close()
    assert made.file is not None
    made.file.write_bytes(b"")
    with closing(TradeCache(tmp_path, KRAKEN)) as again:
        assert numbers(again, 100) is None
        assert again.remarks == []


@pytest.mark.parametrize(
    "change",
    [
        "update pages set rows = x'00' where begun = 100",
        "update pages set digest = x'00' where begun = 100",
        "update pages set ended = 250 where begun = 100",
        "update pages set pair = 'XETHZUSD' where begun = 100",
    ],
)
def test_page_that_is_not_as_it_was_kept_is_dropped(tmp_path: Path, change: str) -> None:
    """A flipped bit, another span and another pair alike; the other pages stay."""
    made = filled(tmp_path)
    assert made.file is not None
    with closing(sqlite3.connect(made.file)) as rows, rows:
        rows.execute(change)
    for pair in (KEY, "XETHZUSD"):
        assert numbers(made, 100, pair) is None
    assert numbers(made, 299) == [4, 5]
    assert any("a page of" in remark for remark in made.remarks) or "pair" in change
    made.close()


def test_damage_that_shows_while_it_is_read_is_set_aside(tmp_path: Path) -> None:
    """What the check at the start let pass stops nobody later."""
    made = filled(tmp_path)
    for number in range(12):
        made.add(KEY, page(1000 + number, 1001 + number, *range(200)))
    made.close()
    assert made.file is not None
    again = TradeCache(tmp_path, KRAKEN)
    data = made.file.read_bytes()
    # The file's count of changes is another, so that nothing is taken from memory.
    head = data[:24] + bytes([9, 9, 9, 9]) + data[28:4096]
    made.file.write_bytes(head + bytes(len(data) - 4096))
    assert numbers(again, 100) is None
    assert any("set aside" in remark for remark in again.remarks)
    again.close()


def test_folder_that_cannot_be_made_leaves_memory(tmp_path: Path) -> None:
    """Nothing is kept, it is said, and nobody is stopped."""
    (tmp_path / "file").write_text("")
    with closing(filled(tmp_path / "file")) as made:
        assert made.file is None
        assert made.remarks[0].startswith("nothing is kept for the next time")
        assert numbers(made, 100) == [1, 2, 3]


def test_file_that_another_holds_leaves_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that stays is waited for a while, and then done without."""
    monkeypatch.setattr(room, "_PATIENCE", 0.01)
    with closing(filled(tmp_path)) as made:
        assert made.file is not None
        with closing(sqlite3.connect(made.file)) as other:
            other.execute("begin exclusive")
            made.add(KEY, page(300, 400, 6))
        assert made.file is None
        assert made.remarks[0].startswith("nothing more is kept for the next time")
        made.add(KEY, page(300, 400, 6))
        assert numbers(made, 300) == [6]


def test_no_folder_keeps_pages_in_memory() -> None:
    """As for a stand-in on this machine, whose port is another's tomorrow."""
    with closing(TradeCache(None, OTHER)) as made:
        made.add(KEY, page(1, 2, 9))
        assert (numbers(made, 1), made.file, made.remarks) == ([9], None, [])
