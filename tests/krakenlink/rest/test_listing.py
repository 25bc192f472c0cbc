"""The listing of pairs: when Kraken is asked for it, and what stands in for its answer."""

import json
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from kraken_api import KrakenAPI
from krakenlink.errors import (
    KrakenConnectionError,
    KrakenError,
    ProtocolError,
)
from krakenlink.machine import feed_clock
from krakenlink.rest import listing
from tests.kits.rest import rest_kit
from tests.kits.rest.rest_kit import LISTING, XSTOCKS, Web, ok, refusal

web, rest = rest_kit.web, rest_kit.rest  # fixtures


def file_of(folder: str | Path) -> Path:
    """Return the one listing in a cache folder."""
    [path] = Path(folder).glob("pairs-*.json")
    return path


def test_listing_is_fetched_once_and_kept_for_the_next_process(web: Web, tmp_path: Path) -> None:
    """The second client of a day reads the file, and finds all that is used of a pair in it."""
    web.on("AssetPairs", ok(LISTING))
    first = KrakenAPI(use_websocket=False, cache_dir=tmp_path / "new")
    second = KrakenAPI(use_websocket=False, cache_dir=tmp_path / "new")
    pair = first.resolve_pair("sol/usd")
    assert (pair.lot_decimals, pair.ordermin) == (4, Decimal("0.1"))
    assert second.resolve_pair("SOLUSD") == pair
    assert len(web.calls) == 1
    assert "leverage_buy" not in file_of(tmp_path / "new").read_text()


def test_listing_is_kept_in_the_folder_of_the_environment(web: Web) -> None:
    """`TTSLO_CACHE_DIR` says where; the file is named by the host."""
    web.on("AssetPairs", ok(LISTING))
    KrakenAPI().pair_directory()
    assert file_of(os.environ["TTSLO_CACHE_DIR"]).name == "pairs-api.kraken.com.json"


def test_listing_of_a_server_on_this_machine_is_not_kept(web: Web) -> None:
    """A stand-in's pairs are made up and must not be met by the next one on its port."""
    web.on("AssetPairs", ok(LISTING))
    KrakenAPI(base_url="http://127.0.0.1:8080").pair_directory()
    assert not Path(os.environ["TTSLO_CACHE_DIR"]).exists()


def aged(tmp_path: Path, seconds: float) -> None:
    """Make the kept listing older."""
    path = file_of(tmp_path)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "fetched_at": content["fetched_at"] - seconds}))


def filled_cache(web: Web, tmp_path: Path, age: float = 0.0) -> None:
    """Leave a listing of that age in the folder, and forget how it came there."""
    web.on("AssetPairs", ok(LISTING))
    KrakenAPI(cache_dir=tmp_path).pair_directory()
    aged(tmp_path, age)
    web.calls.clear()


@pytest.mark.parametrize(("age", "calls"), [(80_000, 0), (90_000, 1), (-90_000, 1)])
def test_listing_is_fetched_anew_after_a_day(
    web: Web, tmp_path: Path, age: float, calls: int
) -> None:
    """A day is how long it counts; a file from the future does not count at all."""
    filled_cache(web, tmp_path, age)
    KrakenAPI(cache_dir=tmp_path).pair_directory()
    assert len(web.calls) == calls


def test_old_listing_is_used_with_a_warning_when_kraken_is_away(
    web: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An old list of pairs is better than none; it is said once, and Kraken is not pressed."""
    filled_cache(web, tmp_path, 90_000)
    web.on("AssetPairs", requests.ReadTimeout("slow"))
    api = KrakenAPI(cache_dir=tmp_path)
    assert api.resolve_pair("SOL/USD").symbol == "SOL/USD"
    assert api.resolve_pair("SOL/USD").symbol == "SOL/USD"
    warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "25 hours old" in warnings[0].getMessage()
    assert len(web.calls) == 1


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"format": 99}',
        '{"format": 1, "rows": {}, "fetched_at": 1, "has_tokenized": false}',
        '{"format": 1, "rows": [], "fetched_at": 9e99, "has_tokenized": false}',
        '{"format": 1, "rows": {"A": {}}, "fetched_at": "x", "has_tokenized": false}',
        f'{{"format": 1, "rows": {{}}, "fetched_at": 1{"0" * 400}, "has_tokenized": false}}',
        "[" * 100_000,
        "\0\xff",
    ],
)
def test_foreign_file_is_ignored(web: Web, tmp_path: Path, content: str) -> None:
    """A file that is damaged, or of another program, is as good as none."""
    web.on("AssetPairs", ok(LISTING))
    (tmp_path / "pairs-api.kraken.com.json").write_text(content, encoding="latin-1")
    assert KrakenAPI(cache_dir=tmp_path).resolve_pair("SOLUSD").symbol == "SOL/USD"


def test_folder_that_cannot_be_written_is_harmless(web: Web, tmp_path: Path) -> None:
    """Without a cache there is one call more, and nothing else."""
    web.on("AssetPairs", ok(LISTING))
    (tmp_path / "taken").write_text("a file where a folder should be")
    api = KrakenAPI(cache_dir=tmp_path / "taken")
    assert api.resolve_pair("SOLUSD").symbol == "SOL/USD"


def test_file_that_cannot_be_replaced_leaves_no_litter(web: Web, tmp_path: Path) -> None:
    """A write that fails at its last step takes its temporary file with it."""
    web.on("AssetPairs", ok(LISTING))
    (tmp_path / "pairs-api.kraken.com.json").mkdir()
    KrakenAPI(cache_dir=tmp_path).pair_directory()
    assert [p.name for p in tmp_path.iterdir()] == ["pairs-api.kraken.com.json"]


def test_unknown_name_refreshes_the_listing_once(web: Web, tmp_path: Path) -> None:
    """A pair that is newer than the kept listing is found; a slip does not ask again and again."""
    filled_cache(web, tmp_path, 80_000)
    new = {"NEWUSD": {"altname": "NEWUSD", "wsname": "NEW/USD", "base": "NEW", "quote": "ZUSD"}}
    web.on("AssetPairs", ok(LISTING | new), refusal("EGeneral:Invalid arguments"))
    api = KrakenAPI(cache_dir=tmp_path)
    assert api.resolve_pair("NEW/USD").rest_key == "NEWUSD"
    for _ in range(3):
        with pytest.raises(LookupError, match="NEW/USD"):
            api.resolve_pair("NEWW/USD")
    assert len(web.calls) == 2


def test_xstocks_are_asked_for_once_they_are_missed(web: Web, rest: KrakenAPI) -> None:
    """The second listing is fetched when a name is in the first one not, and kept with it."""
    web.on("AssetPairs", ok(LISTING), ok(XSTOCKS))
    assert rest.resolve_pair("SOL/USD").symbol == "SOL/USD"
    assert len(web.calls) == 1
    assert rest.resolve_pair("AAPLx/USD").is_tokenized
    assert KrakenAPI(use_websocket=False).resolve_pair("aaplx-usd").is_tokenized
    assert len(web.calls) == 2


def test_ambiguous_name_is_refused_without_asking_again(web: Web, rest: KrakenAPI) -> None:
    """What fits two pairs is not made clearer by fetching them again."""
    twin = {"XSOLUSD": {**LISTING["SOLUSD"], "altname": "XSOLUSD"}}
    web.on("AssetPairs", ok(LISTING | twin))
    with pytest.raises(LookupError, match="XSOLUSD"):
        rest.resolve_pair("SOL/USD")
    assert len(web.calls) == 1


@pytest.mark.parametrize("name", [None, "", "  ", 5])
def test_no_name_is_no_pair(web: Web, rest: KrakenAPI, name: Any) -> None:
    """What is no name is a `LookupError` without a call."""
    with pytest.raises(LookupError):
        rest.resolve_pair(name)
    assert not web.calls


def test_oldest_pairs_resolve_without_a_listing(
    web: Web, rest: KrakenAPI, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a listing the well-known names still work, with a warning."""
    web.on("AssetPairs", (503, ""))
    assert rest.resolve_pair("XBTUSD").symbol == "BTC/USD"
    assert "cannot be had" in caplog.text


def test_unknowable_is_not_unknown(web: Web, rest: KrakenAPI) -> None:
    """When Kraken cannot be asked, a name is not called unknown."""
    web.on("AssetPairs", (503, ""))
    with pytest.raises(KrakenConnectionError):
        rest.resolve_pair("SOL/USD")


def test_empty_listing_is_not_believed(web: Web, rest: KrakenAPI) -> None:
    """An exchange without a single pair is a damaged answer, and is not kept."""
    web.on("AssetPairs", ok({}))
    with pytest.raises(ProtocolError):
        rest.pair_directory()
    assert not Path(os.environ["TTSLO_CACHE_DIR"]).exists()


def test_facts_have_an_age_and_can_be_refreshed(web: Web, tmp_path: Path) -> None:
    """A minimum of yesterday decides nothing: whoever needs a younger one gets it, by one call."""
    filled_cache(web, tmp_path, age=3600.0)
    api = KrakenAPI(use_websocket=False, cache_dir=tmp_path)
    assert api.pair_age("SOLUSD") is None  # not read yet
    assert api.resolve_pair("sol/usd").ordermin == Decimal("0.1")
    assert api.pair_age("SOLUSD") == pytest.approx(3600, abs=5)
    web.on("AssetPairs", ok({"SOLUSD": {**LISTING["SOLUSD"], "ordermin": "0.02"}}))
    assert api.resolve_pair("sol/usd", max_age=7200).ordermin == Decimal("0.1")
    assert not web.calls
    assert api.resolve_pair("sol/usd", max_age=60).ordermin == Decimal("0.02")
    assert web.asked("AssetPairs") == [{"pair": "SOLUSD"}]
    # There is one source: all spellings have the younger fact, and no second call is made.
    assert api.resolve_pair("SOLUSD").ordermin == Decimal("0.02")
    assert api.resolve_pair("SOL-USD", max_age=60).ordermin == Decimal("0.02")
    assert len(web.calls) == 1


def test_facts_that_cannot_be_refreshed_are_an_error(web: Web, tmp_path: Path) -> None:
    """Old facts do not pass for young ones."""
    filled_cache(web, tmp_path, age=3600.0)
    api = KrakenAPI(use_websocket=False, cache_dir=tmp_path, timeouts=rest_kit.QUICK)
    web.on("AssetPairs", refusal("EService:Busy"))
    with pytest.raises(KrakenError, match="Busy"):
        api.resolve_pair("SOLUSD", max_age=60)
    web.on("AssetPairs", refusal("EQuery:Unknown asset pair"))
    with pytest.raises(LookupError, match="any more"):
        api.resolve_pair("SOLUSD", max_age=60)


def test_age_counts_on_while_the_machine_sleeps(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A night with the lid closed makes a listing of yesterday evening old."""
    filled_cache(web, tmp_path)
    api = KrakenAPI(use_websocket=False, cache_dir=tmp_path)
    api.pair_directory()
    now = feed_clock() + 25 * 3600
    monkeypatch.setattr(listing, "feed_clock", lambda: now)
    api.pair_directory()
    assert len(web.asked("AssetPairs")) == 1


def test_listing_of_the_future_has_no_age(web: Web, tmp_path: Path) -> None:
    """After a clock was set back nobody knows how old it is: it is fetched anew."""
    filled_cache(web, tmp_path, age=-3600.0)
    KrakenAPI(use_websocket=False, cache_dir=tmp_path).pair_directory()
    assert len(web.asked("AssetPairs")) == 1


def test_many_who_need_the_listing_fetch_it_once(web: Web, rest: KrakenAPI) -> None:
    """Fifty threads with one new pair make one call."""

    def slow(_: dict[str, str]) -> str:
        time.sleep(0.05)
        return ok(LISTING)

    web.replies["AssetPairs"] = slow
    with ThreadPoolExecutor(50) as pool:
        found = list(pool.map(lambda _: rest.resolve_pair("sol/usd").rest_key, range(50)))
    assert found == ["SOLUSD"] * 50
    assert len(web.calls) == 1
