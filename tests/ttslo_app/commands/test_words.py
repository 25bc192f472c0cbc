"""The words of the command line: what a run is, and how it ends."""

from __future__ import annotations

import pytest

from ttslo_app.commands import words

FILES = ("config.csv", "state.csv", "logs.csv")


def run(
    *, rest: str = "https://api.kraken.com", stream: str | None = None, **how: bool
) -> words.Run:
    """Return what a run is."""
    return words.Run(
        rest,
        stream,
        FILES,
        has_trading_key=how.get("has_trading_key", True),
        is_dry=how.get("is_dry", False),
        version="1.0.0",
        is_shared=how.get("is_shared", False),
    )


def test_live_run_says_that_it_is_one() -> None:
    """Mode, exchange, key and version in one line of a terminal, then the files."""
    first, *_, files = (s.text for s in words.opening(run(stream="wss://ws.kraken.com/v2")))
    assert first == "LIVE on Kraken (https://api.kraken.com): a trading key is set; ttslo 1.0.0"
    assert files == "Files: config.csv, state.csv, logs.csv"


def test_run_without_a_key_or_a_stream_says_so() -> None:
    """What is not there is named."""
    first, second, _ = (s.text for s in words.opening(run(has_trading_key=False)))
    assert ": NO trading key; " in first
    assert second == "Prices come over REST only"


def test_host_says_where_its_rows_are() -> None:
    """Nobody may edit a config.csv that is not read."""
    texts = [s.text for s in words.opening(run(is_shared=True))]
    assert texts[-1] == "Rows and lives are in the store, logs.csv and state.csv.* on this host"


def test_dry_run_says_what_it_writes() -> None:
    """No order, and of the files the log alone."""
    texts = [s.text for s in words.opening(run(is_dry=True, rest="http://127.0.0.1:8080"))]
    assert texts[0].startswith("DRY RUN on http://127.0.0.1:8080 (not Kraken): no order is placed")
    assert texts[-1] == "Files: config.csv and state.csv are read; logs.csv alone is written"


def test_stream_of_another_exchange_is_named() -> None:
    """Prices of one and orders to another are no pair that anybody wants."""
    texts = [s.text for s in words.opening(run(stream="ws://127.0.0.1:8080/v2"))]
    assert "Prices stream from ANOTHER exchange: ws://127.0.0.1:8080/v2 (not Kraken)" in texts


@pytest.mark.parametrize(
    ("argv0", "is_module", "command"),
    [
        ("/home/me/ttslo/ttslo.py", False, "python ttslo.py"),
        ("C:\\me\\ttslo.py", False, "python ttslo.py"),
        ("/usr/bin/ttslo", False, "ttslo"),
        ("C:\\Scripts\\ttslo.exe", False, "ttslo"),
        ("/x/site-packages/ttslo.py", True, "python -m ttslo"),
    ],
)
def test_advice_names_the_command_that_was_typed(argv0: str, is_module: bool, command: str) -> None:
    """Whoever copies it gets what they have."""
    assert words.command_of(argv0, is_module=is_module) == command


def test_last_word_says_whether_the_state_is_saved() -> None:
    """And what ended the run, where that was no wish of its user."""
    assert words.stopped(is_dry=False, is_saved=True).text == "Stopped; state saved"
    assert words.stopped(is_dry=True, is_saved=True).text == "Stopped"
    said = words.stopped(is_dry=False, is_saved=False, why="a closed terminal")
    assert said.text.startswith("Stopped by a closed terminal, and state.csv is not up to date")
    assert said.level == "WARNING"


@pytest.mark.parametrize(
    ("rest", "has_page"),
    [("https://api.kraken.com", True), ("http://127.0.0.1:9000", False), ("https://x.test", False)],
)
def test_page_of_krakens_health_is_named_for_kraken_alone(rest: str, has_page: bool) -> None:
    """It knows nothing of another exchange, of which the question is whether it runs."""
    said = words.waits_for(rest).text
    assert ("https://status.kraken.com" in said) is has_page
    assert said.endswith("look at the network, and whether it runs") is not has_page
