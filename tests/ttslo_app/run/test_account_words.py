"""Sentences about the account's stream: what is so, what is done, what to do."""

from ttslo_app.messages import Kind
from ttslo_app.run import account_words as words


def test_missing_permission_is_named_as_kraken_s_page_names_it() -> None:
    """With what is done meanwhile; another refusal has another cure."""
    sentence = words.denied("EGeneral:Permission denied.", 10.0)
    assert sentence.kind is Kind.KEY
    assert '"Access WebSockets" and "Query open orders & trades"' in sentence.text
    assert (
        "are looked at every 10 s: no key may stream them (EGeneral:Permission denied)"
        in sentence.text
    )
    other = words.denied("EAPI:Invalid key", 10.0).text
    assert other.endswith("no key may stream them (EAPI:Invalid key). Mend the key")
    assert "Access WebSockets" not in other


def test_loss_says_what_is_done_instead_and_its_end_says_again() -> None:
    """An unwatched order is never told of: REST looks."""
    assert words.lost("closed by the server.", 10.0).text == (
        "Kraken does not tell at once what happens to orders: closed by the server. Until it does "
        "they are looked at over REST every 10 s"
    )
    assert " again " in words.followed_again(7.4).text
    assert "every 60 s" in words.followed(60.0).text
    assert {words.followed(1).level, words.followed_again(1).level} == {"INFO"}
