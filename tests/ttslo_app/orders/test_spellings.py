"""How a row was spelt while it fired: one crossing, one order, whichever of them is saved back."""

from __future__ import annotations

import pytest

from tests.kits.orders.order_bench import ROW, Bench, Crash, dying_at, rule
from ttslo_app.messages import Adopt
from ttslo_app.orders.life import RuleState
from ttslo_app.orders.request import letters_of
from ttslo_app.orders.spellings import arming_word, is_spelt, spelt

# As the row was read, as it was saved right before its crossing, and right before its note.
READ, CROSSED, NOTED = ROW, {**ROW, "threshold_price": "5E4"}, {**ROW, "volume": "0.010"}


def test_spelling_is_known_once_and_the_newest_are_kept() -> None:
    """Who saves a file again and again fills no state."""
    assert spelt("", "") == ""
    assert spelt("", "a") == spelt("a", "a") == spelt("a", "") == "a"
    assert spelt("a", "b") == spelt("a b", "a") == "a b"
    assert spelt("a b c d e f", "g") == "b c d e f g"


def test_row_is_spelt_as_it_was_to_the_letter_or_not() -> None:
    """And as nothing where that is not known."""
    spellings = spelt(letters_of(READ), letters_of(NOTED))
    assert is_spelt(READ, spellings)
    assert is_spelt(NOTED, spellings)
    assert not is_spelt(CROSSED, spellings)
    assert not is_spelt({}, "")


def test_word_that_arms_a_row_makes_it_none_of_its_spellings() -> None:
    """However many of them were used by then."""
    spellings, words = "", []
    for _ in range(6):
        words.append(word := arming_word(READ, spellings))
        spellings = spelt(spellings, letters_of({**READ, "enabled": word}))
        assert rule(enabled=word).enabled
    assert words[:2] == ["true", "yes"]
    assert len(set(words)) == 6
    assert arming_word(READ, spellings) not in words


def fired() -> Bench:
    """Return a worker whose row was saved in another spelling right before it crossed, and noted.

    Nobody but the look at the crossing, and the one before the note, has seen either.
    """
    bench = Bench(rule())
    bench.letters["btc"] = READ
    bench.adopt()
    bench.letters["btc"] = CROSSED
    bench.files.note_error = PermissionError(13, "Permission denied")
    bench.cross()
    bench.letters["btc"] = NOTED
    bench.files.note_error = None
    return bench


def save_back(bench: Bench, row: dict[str, str]) -> None:
    """Save an editor's text of the row over the note, and let the price cross again."""
    bench.letters["btc"] = row
    bench.files.notes.clear()
    bench.adopt()
    bench.cross()
    bench.wait(5)


@pytest.mark.parametrize("row", [READ, CROSSED, NOTED], ids=["read", "crossed", "noted"])
@pytest.mark.parametrize("is_restarted", [False, True])
def test_row_that_is_saved_back_as_it_was_has_no_second_order(
    row: dict[str, str], is_restarted: bool
) -> None:
    """As it was read, as it was spelt at its crossing, or as its note found it."""
    bench = fired()
    bench.wait(5)
    assert bench.files.notes == {"btc": "O1"}
    if is_restarted:
        bench.restart()
    save_back(bench, row)
    assert len(bench.kraken.sent) == 1
    assert bench.life().state is RuleState.PLACED
    assert bench.files.notes == {"btc": "O1"}
    assert bench.heard("NOT armed again: an old copy")


def test_row_that_its_user_has_touched_since_is_armed_again() -> None:
    """What it never was while it fired is a wish."""
    bench = fired()
    bench.wait(5)
    save_back(bench, {**READ, "enabled": "yes"})
    assert bench.life().generation == 2
    assert len(bench.kraken.sent) == 2


def test_proposed_word_arms_the_row() -> None:
    """Also where the usual one is what the row said at its crossing."""
    bench = Bench(rule())
    bench.letters["btc"] = READ
    bench.adopt()
    bench.letters["btc"] = {**READ, "enabled": "yes"}
    bench.cross()
    bench.wait(5)
    save_back(bench, READ)
    assert bench.heard("such as enabled=1")
    save_back(bench, {**READ, "enabled": "1"})
    assert len(bench.kraken.sent) == 2


@pytest.mark.parametrize("step", ["noting", "noted"])
def test_program_that_dies_at_its_note_knows_how_it_found_the_row(step: str) -> None:
    """Whatever comes after the note, the state knew it before."""
    bench = fired()
    bench.step = dying_at(step)
    with pytest.raises(Crash):
        bench.wait(5)
    bench.step = lambda name: None
    bench.restart()
    bench.wait(5)
    assert bench.files.notes == {"btc": "O1"}
    assert len(bench.kraken.sent) == 1
    save_back(bench, NOTED)
    assert len(bench.kraken.sent) == 1


def test_row_that_is_saved_while_its_spelling_is_written_down_is_looked_at_once_more() -> None:
    """A long state takes a second to write, and the note comes after that."""
    bench, later = fired(), {**ROW, "trailing_offset_percent": "5.00"}

    def save(name: str) -> None:
        if name == "written" and letters_of(NOTED) in bench.life().letters:
            bench.letters["btc"] = later

    bench.step = save
    bench.wait(5)
    bench.step = lambda name: None
    assert bench.files.notes == {"btc": "O1"}
    save_back(bench, later)
    assert len(bench.kraken.sent) == 1


def test_note_in_a_file_that_cannot_be_looked_at_is_written_all_the_same() -> None:
    """The look tells nothing then; whether the note can be written is seen by the note."""
    bench = fired()
    bench.files.is_unreadable = True
    bench.wait(5)
    assert bench.files.notes == {"btc": "O1"}
    assert bench.life().letters.split() == [letters_of(READ), letters_of(CROSSED)]


def test_row_that_is_not_accepted_is_known_by_how_its_note_found_it() -> None:
    """Its pair was misspelt while the order was on its way; an editor may have it like that."""
    bench = fired()
    bench.worker.submit(Adopt({}, bench.clock.monotonic()))
    bench.worker.work_off()
    bench.wait(5)
    assert letters_of(NOTED) in bench.life().letters.split()


def test_note_that_an_old_copy_is_owed_does_not_disable_what_nobody_has_read_yet() -> None:
    """Its user has armed the row a moment ago: the next reading of the file decides."""
    bench = fired()
    bench.wait(5)
    bench.files.note_error = PermissionError(13, "Permission denied")
    save_back(bench, READ)
    assert bench.heard("NOT armed again: an old copy")
    bench.letters["btc"] = {**READ, "enabled": "yes"}
    bench.files.note_error = None
    bench.wait(120)
    assert bench.files.notes == {}
    bench.adopt()
    assert bench.life().state is RuleState.ARMED
    bench.cross()
    assert len(bench.kraken.sent) == 2
