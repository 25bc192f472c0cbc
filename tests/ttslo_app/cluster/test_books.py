"""What a host writes while it leads: fenced, whole, and never twice for a lost answer."""

import pytest

from tests.kits.hosts.memory_store import Fate, Line, MemoryStore
from ttslo_app.cluster.books import Books
from ttslo_app.cluster.copy import Copy
from ttslo_app.cluster.records import Keys, Lead, lead_text, life_text, read_cells, row_text
from ttslo_app.cluster.store import Change, Entry, StoreError, StoreUnreachable

KEYS = Keys("prod")


class Desk:
    """One host that leads, with its line to the store."""

    def __init__(self, store: MemoryStore) -> None:
        self.line, self.copy = Line(store), Copy(KEYS)
        self.books = Books(self.line, self.copy, KEYS)
        self.refusals: list[Entry | None] = []
        self.books.refused = self.refusals.append

    def read(self) -> None:
        """Read everything, as at the begin of a lead."""
        self.copy.load(*self.line.list(KEYS.base))

    def lead(self) -> None:
        """Begin to lead, by an election that is won."""
        entry = self.line.store.get(KEYS.lead)
        text = lead_text(Lead(1, "a", "", f"t{entry.version if entry else 0}"))
        rests_on = {KEYS.lead: entry.version if entry else 0}
        answer = self.line.store.commit(Change(rests_on, {KEYS.lead: text}))
        self.read()
        self.books.lead(answer.version)


@pytest.fixture
def store() -> MemoryStore:
    """A store with two rows."""
    store = MemoryStore()
    rows = {KEYS.row(i): row_text({"id": i, "enabled": "true"}, n, i) for n, i in enumerate("ab")}
    store.commit(Change({}, rows))
    return store


@pytest.fixture
def desk(store: MemoryStore) -> Desk:
    """A host that leads."""
    desk = Desk(store)
    desk.lead()
    return desk


def life_in(store: MemoryStore, rule_id: str) -> dict[str, str]:
    """Return what the store has of a life."""
    entry = store.get(KEYS.life(rule_id))
    return {} if entry is None else read_cells(entry.key, entry.value)


INTENT = {"id": "a", "rule_state": "intended", "detail": ""}
ARMED = {"id": "a", "rule_state": "armed", "detail": ""}


def test_intent_is_in_the_store_before_it_is_called_written(desk: Desk, store: MemoryStore) -> None:
    """Empty cells say nothing and take no room."""
    desk.books.write_intents({"a": INTENT}, {"a": desk.copy.version(KEYS.row("a"))})
    assert life_in(store, "a") == {"id": "a", "rule_state": "intended"}
    assert desk.copy.life("a") == {"id": "a", "rule_state": "intended"}


def test_intents_of_one_burst_are_one_change(desk: Desk, store: MemoryStore) -> None:
    """All of them or none."""
    before = store.version
    desk.books.write_intents({i: {"id": i, "rule_state": "intended"} for i in "ab"}, {})
    assert store.version == before + 1


def test_whoever_leads_no_more_writes_nothing(desk: Desk, store: MemoryStore) -> None:
    """Another has been elected, and this host does not know it yet: the store does."""
    other = Desk(store)
    other.lead()
    with pytest.raises(StoreError, match="another host leads"):
        desk.books.write_intents({"a": INTENT}, {})
    assert life_in(store, "a") == {}
    assert [one.version for one in desk.refusals if one] == [store.version]
    assert not desk.books.is_open
    with pytest.raises(StoreError, match="another host leads"):
        desk.books.write_lives({"a": INTENT})
    assert len(desk.refusals) == 1


def test_door_that_was_cut_lets_nothing_through(desk: Desk, store: MemoryStore) -> None:
    """The session knows of another before the store has to say so."""
    desk.books.cut()
    for write in (
        lambda: desk.books.write_intents({"a": INTENT}, {}),
        lambda: desk.books.write_lives({"a": ARMED}),
        lambda: desk.books.write_into_rows({"a": {"enabled": "false"}}),
        lambda: desk.books.write_marks("m"),
    ):
        with pytest.raises(OSError, match="another host leads"):
            write()
    assert store.get(KEYS.life("a")) is None


def test_row_that_was_edited_refuses_the_intent(desk: Desk, store: MemoryStore) -> None:
    """The edit or the intent, never both; the copy has the edit at once."""
    seen = desk.copy.version(KEYS.row("a"))
    edited = row_text({"id": "a", "enabled": "false"}, 0, "edit")
    store.commit(Change({}, {KEYS.row("a"): edited}))
    with pytest.raises(StoreError, match="row/a in the store was changed a moment ago"):
        desk.books.write_intents({"a": INTENT}, {"a": seen})
    assert life_in(store, "a") == {}
    row = desk.copy.row("a")
    assert row is not None
    assert row.cells["enabled"] == "false"
    assert desk.books.is_open
    desk.books.write_intents({"a": INTENT}, {"a": row.version})
    assert life_in(store, "a")["rule_state"] == "intended"


def test_row_that_was_taken_away_refuses_the_intent(desk: Desk, store: MemoryStore) -> None:
    """Its user does not want it any more, and the copy knows by now."""
    seen = desk.copy.version(KEYS.row("a"))
    store.commit(Change({}, {}, (KEYS.row("a"),)))
    with pytest.raises(StoreError, match="row/a"):
        desk.books.write_intents({"a": INTENT}, {"a": seen})
    assert desk.copy.row("a") is None
    assert life_in(store, "a") == {}


@pytest.mark.parametrize("fate", [Fate.LOST, Fate.NEVER, Fate.LATE, Fate.TWICE])
def test_answer_that_is_lost_is_no_answer_and_the_next_try_settles_it(
    fate: Fate, desk: Desk, store: MemoryStore
) -> None:
    """Whether the first one was done is told by its own token, and it is done once."""
    desk.line.fates.append(fate)
    if fate is Fate.TWICE:
        desk.books.write_intents({"a": INTENT}, {})
    else:
        with pytest.raises(StoreUnreachable):
            desk.books.write_intents({"a": INTENT}, {})
        desk.line.deliver()
    again = {**INTENT, "sends": "2"}
    desk.books.write_intents({"a": again}, {})
    assert life_in(store, "a")["sends"] == "2"
    desk.line.deliver()
    assert life_in(store, "a")["sends"] == "2"


def test_change_that_arrives_late_is_refused_by_what_was_written_since(
    desk: Desk, store: MemoryStore
) -> None:
    """It rests on a version that is gone."""
    desk.line.fates.append(Fate.LATE)
    with pytest.raises(StoreUnreachable):
        desk.books.write_lives({"a": ARMED})
    desk.books.write_intents({"a": INTENT}, {})
    assert [answer.is_done for answer in desk.line.deliver()] == [False]
    assert life_in(store, "a")["rule_state"] == "intended"


def test_life_that_somebody_else_has_changed_is_left_alone(desk: Desk, store: MemoryStore) -> None:
    """Nobody but the one who leads writes lives: a person has to look."""
    desk.books.write_lives({"a": ARMED})
    strange = life_text({"id": "a", "rule_state": "placed"}, "by hand")
    store.commit(Change({}, {KEYS.life("a"): strange}))
    for _ in range(2):
        with pytest.raises(StoreError, match="somebody who does not lead"):
            desk.books.write_intents({"a": INTENT}, {})
    assert life_in(store, "a")["rule_state"] == "placed"
    assert desk.books.is_open


def test_lives_that_have_not_changed_are_not_written(desk: Desk, store: MemoryStore) -> None:
    """Of a hundred thousand one has fired."""
    lives = {f"r{n}": {"id": f"r{n}", "rule_state": "armed"} for n in range(150)}
    desk.books.write_lives(lives)
    before = store.version
    desk.books.write_lives(lives)
    assert store.version == before
    lives["r7"]["rule_state"] = "placed"
    desk.books.write_lives(lives)
    assert store.version == before + 1
    assert [entry.key for entry in store.log[-1].entries] == [KEYS.life("r7")]


def test_many_lives_are_written_in_changes_that_a_store_takes(
    desk: Desk, store: MemoryStore
) -> None:
    """Etcd takes 128 operations at once."""
    desk.books.write_lives({f"r{n}": {"id": f"r{n}"} for n in range(130)})
    assert max(len(news.entries) for news in store.log[-3:]) <= 60
    assert sum(len(news.entries) for news in store.log[-3:]) == 130


def test_lives_of_the_one_before_are_known_when_the_lead_begins(
    desk: Desk, store: MemoryStore
) -> None:
    """The next leader writes what differs from those alone."""
    desk.books.write_lives({"a": ARMED})
    other = Desk(store)
    other.lead()
    before = store.version
    other.books.write_lives({"a": ARMED})
    assert store.version == before
    other.books.write_lives({"a": INTENT})
    assert life_in(store, "a")["rule_state"] == "intended"


def test_note_in_a_row_keeps_an_edit_that_came_in_between(desk: Desk, store: MemoryStore) -> None:
    """The user has changed another cell; both stand afterwards."""
    edited = row_text({"id": "a", "enabled": "true", "note": "mine"}, 0, "edit")
    store.commit(Change({}, {KEYS.row("a"): edited}))
    assert desk.books.write_into_rows({"a": {"enabled": "false", "order_id": "OA"}}) == set()
    entry = store.get(KEYS.row("a"))
    assert entry is not None
    assert read_cells(entry.key, entry.value) == {
        "id": "a",
        "enabled": "false",
        "note": "mine",
        "order_id": "OA",
    }


def test_note_in_a_row_that_is_gone_is_left_out(desk: Desk, store: MemoryStore) -> None:
    """Whoever knew it a moment ago, too."""
    store.commit(Change({}, {}, (KEYS.row("a"),)))
    cells = {"enabled": "false"}
    assert desk.books.write_into_rows({"a": cells, "b": cells, "c": cells}) == {"a", "c"}


def test_note_that_stands_there_is_not_written_again(desk: Desk, store: MemoryStore) -> None:
    """A lost answer leads to a second try, and that one has nothing to do."""
    desk.books.write_into_rows({"a": {"order_id": "OA"}})
    before = store.version
    desk.books.write_into_rows({"a": {"order_id": "OA"}})
    assert store.version == before


def test_our_own_note_is_no_edit(desk: Desk) -> None:
    """All rows would be read and checked again for each order."""
    before = desk.copy.rows_version
    desk.books.write_into_rows({"a": {"order_id": "OA"}})
    assert desk.copy.rows_version > before
    assert desk.copy.is_own_writing(desk.copy.rows_version, before)


def test_marks_are_those_of_whoever_led_last(desk: Desk, store: MemoryStore) -> None:
    """Else a takeover after a blind time would look back for nothing."""
    assert desk.books.marks() is None
    desk.books.write_marks("first")
    desk.books.write_marks("second")
    other = Desk(store)
    other.read()
    assert other.books.marks() == "second"
    other.lead()
    other.books.write_marks("third")
    assert other.books.marks() == "third"


def test_marks_that_cannot_be_read_are_none(desk: Desk, store: MemoryStore) -> None:
    """No harm to any order: more of the past is looked at."""
    store.commit(Change({}, {KEYS.marks: b'{"marks": 4}'}))
    desk.read()
    assert desk.books.marks() is None
