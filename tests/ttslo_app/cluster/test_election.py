"""What is put of who leads: each change rests on what was seen, and is told from every other."""

from __future__ import annotations

from ttslo_app.cluster.election import Stamp, beaten, claimed, halted, vacated
from ttslo_app.cluster.records import Host, Keys, Lead, loaded, read_host, read_lead

KEYS = Keys("prod")
BY = Stamp("a", "2026-11-26T12:00:00+00:00", "t1")


def test_first_lead_of_an_account_is_its_first_epoch() -> None:
    """It rests on there being none, or somebody else has made one meanwhile."""
    ours, change = claimed(KEYS, None, (0, 0), BY)
    assert ours == Lead(1, "a", BY.since, "t1")
    assert dict(change.rests_on) == {KEYS.lead: 0, KEYS.beat: 0}
    assert read_lead(KEYS.lead, change.puts[KEYS.lead]) == ours
    assert list(change.puts) == [KEYS.lead]


def test_next_lead_has_the_next_epoch_and_rests_on_the_last_beat() -> None:
    """A beat that came in between shows that the one before lives."""
    ours, change = claimed(KEYS, Lead(4, "b", "", "t"), (17, 99), BY)
    assert (ours.epoch, ours.host) == (5, "a")
    assert dict(change.rests_on) == {KEYS.lead: 17, KEYS.beat: 99}


def test_lead_that_is_given_back_is_nobodys_and_uses_an_epoch_up() -> None:
    """Whoever leads next has higher nonces than whoever gave it back."""
    change = vacated(KEYS, Lead(4, "a", "", "t"), 17, BY)
    assert dict(change.rests_on) == {KEYS.lead: 17}
    assert read_lead(KEYS.lead, change.puts[KEYS.lead]) == Lead(5, "", BY.since, "t1")


def test_beat_of_who_leads_rests_on_the_lead_and_that_of_others_on_nothing() -> None:
    """A host that was replaced is told so by its next beat."""
    host = Host("a", "leads", False, True)
    leads, follows = beaten(KEYS, host, "t1", 17), beaten(KEYS, host, "t1", None)
    assert dict(leads.rests_on) == {KEYS.lead: 17}
    assert set(leads.puts) == {KEYS.host("a"), KEYS.beat}
    assert not follows.rests_on
    assert set(follows.puts) == {KEYS.host("a")}
    for change in (leads, follows):
        assert read_host("k", change.puts[KEYS.host("a")]) == host


def test_two_beats_differ() -> None:
    """By the word of chance alone others see that it lives, and the store whose change it was."""
    host = Host("a", "leads", False)
    first, second = (beaten(KEYS, host, token, 17).puts for token in ("t1", "t2"))
    assert all(first[key] != second[key] for key in first)


def test_halt_is_put_by_whoever_was_elected_alone() -> None:
    """A host that another has replaced says nothing of the account."""
    change = halted(KEYS, 17, BY)
    assert dict(change.rests_on) == {KEYS.lead: 17}
    assert loaded(KEYS.halt, change.puts[KEYS.halt]) == {"host": "a", "token": "t1"}
