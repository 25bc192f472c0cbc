"""What is said of the page: each sentence names what it is about, and the cure."""

from __future__ import annotations

from ttslo_app.face.web import words


def test_sentences_name_the_flag_the_value_and_the_cure() -> None:
    """At three in the morning nobody looks for them."""
    assert words.no_such_port("0").startswith("'0' is no port")
    assert "from 1 to 65535" in words.no_such_port("0")
    assert "127.0.0.1 port 80 (Permission denied)" in words.not_had(
        "127.0.0.1", 80, "Permission denied"
    )
    assert "another port with --web" in words.not_had("127.0.0.1", 80, "x")
    assert "--web-host attic is no address" in words.no_such_host("attic", "unknown")
    assert "TTSLO_WEB_TOKEN" in words.is_exposed("10.0.0.1", "a token")
    assert "--web-cert my.pem" in words.no_certificate("my.pem", "No such file")
    assert words.needs_web("--web-key") == "--web-key needs --web PORT"
    assert 'pip install "ttslo[web]"' in words.NEEDS_AIOHTTP
    assert 'pip install "ttslo[metrics]"' in words.NO_METRICS


def test_foreign_text_is_cut() -> None:
    """What was typed may be anything."""
    assert len(words.no_such_port("9" * 5000)) < 200
