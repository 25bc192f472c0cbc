"""The books against a store that loses answers in every order: what is called written is written.

A model of one life: every write that was answered happened, and a write whose answer was lost may
have happened at any moment until a later one was answered; nothing else may ever stand there.
"""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kits.hosts.memory_store import Fate, Line, MemoryStore
from ttslo_app.cluster.books import Books
from ttslo_app.cluster.copy import Copy
from ttslo_app.cluster.records import Keys, Lead, lead_text, read_cells, row_text
from ttslo_app.cluster.store import Change, StoreError, StoreUnreachable

KEYS = Keys("prod")


class Model:
    """One leading host, its store, and what may stand there."""

    def __init__(self) -> None:
        self.store, self.copy = MemoryStore(), Copy(KEYS)
        self.line = Line(self.store)
        self.books = Books(self.line, self.copy, KEYS)
        self.certain = ""  # the number of the last write that was answered
        self.maybe: set[str] = set()  # of those without an answer since
        self.count = 0
        row = {KEYS.row("btc"): row_text({"id": "btc", "note": ""}, 0, "t")}
        self.store.commit(Change({}, {**row, KEYS.lead: lead_text(Lead(1, "a", "", "t"))}))
        self.take_lead()

    def take_lead(self) -> None:
        """Read everything anew, and lead on under the same entry."""
        self.copy.load(*self.store.list(KEYS.base))
        self.books.lead(self.copy.version(KEYS.lead))
        stands = self.stands()
        self.certain, self.maybe = stands, self.maybe - {stands}

    def stands(self) -> str:
        """Return the number of the write that the store has."""
        entry = self.store.get(KEYS.life("btc"))
        return "" if entry is None else read_cells(entry.key, entry.value)["number"]

    def write(self, fate: Fate, *, is_intent: bool) -> None:
        """Write the next number, and let its answer have a fate."""
        self.count += 1
        number = str(self.count)
        self.line.fates.append(fate)
        cells = {"btc": {"id": "btc", "number": number}}
        try:
            if is_intent:
                self.books.write_intents(cells, {"btc": self.copy.version(KEYS.row("btc"))})
            else:
                self.books.write_lives(cells)
        except StoreUnreachable:
            self.maybe.add(number)
        else:
            self.certain, self.maybe = number, set()
        self.line.fates.clear()

    def check(self) -> None:
        """See that nothing stands there which must not."""
        assert self.stands() in {self.certain, *self.maybe}


FATES = st.sampled_from(list(Fate))
MOVES = st.one_of(
    st.tuples(st.just("write"), FATES, st.booleans()),
    st.just(("deliver",)),
    st.just(("read",)),
    st.tuples(st.just("edit"), st.text("abc", max_size=3)),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(MOVES, max_size=20))
def test_what_is_called_written_is_written_and_stays(moves: list[tuple[object, ...]]) -> None:
    """Late changes come to nothing once a later one was answered; lost ones are recognised."""
    model = Model()
    for move in moves:
        match move:
            case ("write", Fate() as fate, bool(is_intent)):
                with suppress(StoreUnreachable):
                    model.write(fate, is_intent=is_intent)
            case ("deliver",):
                model.line.deliver()
            case ("read",):
                model.take_lead()
            case ("edit", str(note)):
                text = row_text({"id": "btc", "note": note}, 0, f"{note}{model.count}")
                model.store.commit(Change({}, {KEYS.row("btc"): text}))
                model.copy.load(*model.store.list(KEYS.base))
        model.check()
    model.line.deliver()
    model.take_lead()
    model.write(Fate.ANSWERED, is_intent=True)
    model.line.deliver()
    assert model.stands() == str(model.count)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["note", "edit", "gone", "back"]), max_size=12))
def test_notes_in_a_row_lose_no_edit(moves: list[str]) -> None:
    """Whatever the user did meanwhile stands afterwards, and so does the order."""
    model = Model()
    note, is_there, orders = "", True, 0
    for number, move in enumerate(moves):
        if move == "note":
            orders += 1
            left_out = model.books.write_into_rows({"btc": {"order_id": f"O{orders}"}})
            assert left_out == (set() if is_there else {"btc"})
        elif move == "gone":
            is_there = False
            model.store.commit(Change({}, {}, (KEYS.row("btc"),)))
        else:
            was_there, is_there, note = is_there, True, f"{move}{number}"
            text = row_text({"id": "btc", "note": note}, 0, note)
            model.store.commit(Change({}, {KEYS.row("btc"): text}))
            if not was_there:  # the note is owed until this host hears that the row is back
                model.copy.load(*model.store.list(KEYS.base))
        entry = model.store.get(KEYS.row("btc"))
        assert (entry is not None) == is_there
        if entry is not None:
            cells = read_cells(entry.key, entry.value)
            assert cells["note"] == note
            if move == "note":
                assert cells["order_id"] == f"O{orders}"


def test_intents_of_two_hosts_that_both_believe_they_lead_are_one() -> None:
    """The second one was elected; whichever writes first, the first one's change is refused."""
    for first_goes_first in (True, False):
        model = Model()
        other = Books(Line(model.store), copy := Copy(KEYS), KEYS)
        entry = model.store.get(KEYS.lead)
        assert entry is not None
        if first_goes_first:
            model.write(Fate.ANSWERED, is_intent=True)
        text = lead_text(Lead(2, "b", "", "u"))
        answer = model.store.commit(Change({KEYS.lead: entry.version}, {KEYS.lead: text}))
        copy.load(*model.store.list(KEYS.base))
        other.lead(answer.version)
        cells = {"btc": {"id": "btc", "number": "99"}}
        other.write_intents(cells, {"btc": copy.version(KEYS.row("btc"))})
        with suppress(StoreError):
            model.write(Fate.ANSWERED, is_intent=True)
        assert model.stands() == "99"
        assert not model.books.is_open
