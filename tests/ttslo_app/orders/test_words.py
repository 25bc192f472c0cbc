"""The sentences of the order thread: what each is about, how loud it is, and what it promises."""

from __future__ import annotations

from decimal import Decimal

import pytest

from krakenlink.rest.answers import Outcome
from krakenlink.rest.verdicts import OutcomeKind, Pause
from tests.kits.orders.order_bench import life, rule
from ttslo_app.messages import Crossing, Kind, Sentence, Sighting
from ttslo_app.orders import words
from ttslo_app.orders.life import RuleState
from ttslo_app.orders.words import Teller

CROSSED = Crossing(rule(), Decimal(50001), "50001")
PLACED = life(RuleState.PLACED, order_id="O1", trigger_price="50001")


@pytest.mark.parametrize(
    ("sentence", "kind", "level"),
    [
        (words.INTERNAL_ERROR, Kind.INTERNAL, "ERROR"),
        (words.cannot_be_taken_up(CROSSED), Kind.INTERNAL, "ERROR"),
        (words.ends_owing(["btc"]), Kind.LATE, "ERROR"),
        (words.doubtful("btc"), Kind.DOUBTFUL, "ERROR"),
        (words.unreadable("btc", ValueError("why")), Kind.DOUBTFUL, "ERROR"),
        (words.ended_under_way(PLACED), Kind.UNCERTAIN, "WARNING"),
        (words.armed_again(PLACED), Kind.ARMED, "WARNING"),
        (words.armed_again(life(RuleState.CLOSED)), Kind.ARMED, "INFO"),
        (words.how_to_arm_again(PLACED), Kind.CONFIG, "WARNING"),
        (words.no_longer_armed("btc", rule(), is_owed=False), Kind.DISARMED, "WARNING"),
        (words.cannot_be_read("btc", OSError("why")), Kind.CONFIG, "WARNING"),
        (words.changed_meanwhile(CROSSED, rule()), Kind.CONFIG, "WARNING"),
        (words.row_missing(CROSSED), Kind.WAITING, "WARNING"),
        (words.must_settle_first(CROSSED), Kind.WAITING, "ERROR"),
        (words.placed(PLACED, "why"), Kind.PLACED, "INFO"),
        (words.held_back(CROSSED, "why", 60.0), Kind.REFUSED, "ERROR"),
        (words.given_up(CROSSED, "why"), Kind.REFUSED, "ERROR"),
        (words.stands_first(CROSSED, Pause.PAIR, "why"), Kind.WAITING, "ERROR"),
        (words.stands_in_line(CROSSED, 2), Kind.WAITING, "WARNING"),
        (words.waited_too_long(CROSSED, 61.0), Kind.LATE, "ERROR"),
        (words.uncertain(PLACED, "why", can_find=True), Kind.UNCERTAIN, "ERROR"),
        (words.no_key_to_settle(PLACED), Kind.KEY, "ERROR"),
        (words.still_uncertain(PLACED, OSError("why")), Kind.UNCERTAIN, "WARNING"),
        (words.not_placed("btc", "; it is placed now"), Kind.NOT_PLACED, "WARNING"),
        (words.state_unwritable(OSError(28, "No space")), Kind.DISK, "ERROR"),
        (words.STATE_WRITTEN_AGAIN, Kind.DISK, "WARNING"),
        (words.config_unwritable([PLACED], OSError(28, "No space")), Kind.DISK, "ERROR"),
        (words.CONFIG_WRITTEN_AGAIN, Kind.DISK, "WARNING"),
        (words.not_noted(PLACED), Kind.CONFIG, "WARNING"),
        (words.no_such_order("O1", ["EOrder:Unknown order"]), Kind.KEY, "WARNING"),
    ],
)
def test_sentence_has_its_kind_and_its_level(sentence: Sentence, kind: Kind, level: str) -> None:
    """Whoever chooses what to be told of can rely on both; a row's sentence begins with its id."""
    assert (sentence.kind, sentence.level) == (kind, level)
    if "id" in sentence.fields:
        assert sentence.text.startswith(f"{sentence.fields['id']}: ")
    assert ".." not in sentence.text


@pytest.mark.parametrize(
    ("sighting", "kind"),
    [
        (Sighting("O1", "closed", "0.01", "49000"), Kind.FILLED),
        (Sighting("O1", "open", "0.004", "49000"), Kind.FILLED),
        (Sighting("O1", "canceled", "0.00000000"), Kind.ENDED),
        (Sighting("O1", "expired", "0.004", "1"), Kind.ENDED),
        (Sighting("O1", "open", "0.00000000"), None),
        (Sighting("O1", "pending"), None),
    ],
)
def test_news_of_an_order_is_its_fill_or_its_end(sighting: Sighting, kind: Kind | None) -> None:
    """An order that merely stands is no news."""
    said = words.news_of(PLACED, sighting)
    assert (said.kind if said else None) is kind


def test_refusal_names_the_cure_once() -> None:
    """What to do stands behind what was said, where anything is known."""
    order = life(RuleState.INTENDED)
    outcome = Outcome(OutcomeKind.REFUSED, None, True, "EOrder:Insufficient funds", "Pay in")
    assert words.refusal(order, outcome).endswith("EOrder:Insufficient funds. Pay in")
    assert words.refusal(order, Outcome(OutcomeKind.REFUSED, reason="no")).endswith(": no")


def test_uncertain_order_is_looked_up_by_its_user_where_nobody_else_can() -> None:
    """Nobody is told that Kraken is asked by a program that cannot ask."""
    assert "Kraken is being asked" in words.uncertain(PLACED, "why", can_find=True).text
    assert "Look at Kraken's open orders; " in words.uncertain(PLACED, "why", can_find=False).text


def test_sentence_is_said_once_until_it_changes_or_is_forgotten() -> None:
    """On each subject by itself; what is news may be a part of the sentence."""
    said: list[str] = []
    teller = Teller(lambda level, text, **fields: said.append(text))
    first, second = words.doubtful("a"), words.doubtful("b")
    for sentence in (first, first, second, second, first):
        teller.tell_once("subject", sentence)
    assert said == [first.text, second.text, first.text]
    teller.tell_once("subject", second, news=first.text)
    assert len(said) == 3
    teller.forget("subject")
    teller.tell_once("subject", first)
    teller.tell(first)
    assert len(said) == 5


class _Unreachable(OSError):
    """What a store says that does not answer, its cure included."""

    is_of_store = True


def test_store_that_cannot_be_written_is_no_disk_that_has_to_be_freed() -> None:
    """At three in the morning somebody would look for space on the wrong machine."""
    error = _Unreachable("no majority of its nodes answers: start more than half of them")
    for sentence in (words.state_unwritable(error), words.config_unwritable([PLACED], error)):
        assert sentence.text.startswith("The store CANNOT BE WRITTEN: no majority of its nodes")
        assert "disk" not in sentence.text
        assert sentence.text.endswith("t is tried again")
    full = words.state_unwritable(OSError(28, "No space")).text
    assert full.startswith("The state file CANNOT BE WRITTEN: No space. NO ORDER is placed before")
    assert full.endswith("Free the disk or mend its permissions; it is tried again")
