"""What `ttslo status` says where it has nothing to show: what it looked for, and what helps."""

from __future__ import annotations

from tests.kits.signs.sign_kit import NOW, snapshot
from ttslo_app.commands import status_words as words


def test_nothing_there_names_the_states_that_are() -> None:
    """Most likely somebody stands in the right folder with the wrong name."""
    assert "Start ttslo" in words.nothing_there("state.csv", [])
    text = words.nothing_there("state.csv", ["a.csv", "b.csv"])
    assert text.startswith("NOT RUNNING")
    assert "a.csv, b.csv. Name one of them with --state" in text


def test_many_names_are_counted() -> None:
    """The sentence ends."""
    assert "and 4 more" in words.nothing_there("state.csv", [f"{n}.csv" for n in range(9)])


def test_each_sentence_names_what_it_is_about() -> None:
    """File, process and config."""
    assert "state.csv.status.json cannot be read: cut" in words.not_readable(
        "state.csv.status.json", "cut"
    )
    other = words.also_runs(snapshot(mode="DRY RUN", started_at=NOW))
    assert "DRY RUN, process 4711 on attic, 2 armed" in other
    assert words.other_config(snapshot(), "mine.csv").endswith("config.csv, not with mine.csv")
