"""Where a store is, as people write it, and who may be told a password."""

from __future__ import annotations

import pytest

from ttslo_app.cluster.address import Access, check_access, place_of


@pytest.mark.parametrize(
    ("url", "roots"),
    [
        ("etcd://127.0.0.1:2379/prod", ("http://127.0.0.1:2379",)),
        ("etcd://localhost/prod", ("http://localhost:2379",)),
        ("etcd://[::1]:2379/prod/", ("http://[::1]:2379",)),
        (
            "etcds://A:1,b.example,c:3/prod",
            ("https://a:1", "https://b.example:2379", "https://c:3"),
        ),
        (
            "etcd://10.0.0.1,10.0.0.2/prod?insecure",
            ("http://10.0.0.1:2379", "http://10.0.0.2:2379"),
        ),
    ],
)
def test_an_address_names_nodes_and_a_cluster(url: str, roots: tuple[str, ...]) -> None:
    """Its port is etcd's where none is written."""
    place = place_of(url)
    assert (place.roots, place.cluster) == (roots, "prod")


def test_a_place_is_shown_as_it_is_written() -> None:
    """So that it can be written again."""
    assert str(place_of("etcds://a:1,b/prod")) == "etcds://a:1,b:2379/prod"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "is no address of a store"),
        ("http://a:2379/prod", "is no address of a store"),
        ("etcds://a:2379", "is no address of a store"),
        ("etcds:///prod", "is no address of a store"),
        ("etcds://a:2379/", "is no address of a store"),
        ("etcds://a:0/prod", "'a:0' is none"),
        ("etcds://a:65536/prod", "is none"),
        ("etcds://a b/prod", "is none"),
        ("etcds://a,/prod", "is none"),
        ("etcds://a,a:2379/prod", "names one host twice"),
        ("etcds://a/prod?tls=no", "only .insecure is known"),
        ("etcds://a/pr/od", "the store's name"),
        ("etcds://a/.prod", "the store's name"),
        ("etcd://a:2379/prod", "anybody between could change rows and orders"),
        ("etcd://127.0.0.1,b/prod", "anybody between could change rows and orders"),
    ],
)
def test_anything_else_is_refused_with_its_cure(url: str, words: str) -> None:
    """And nothing is asked of anybody."""
    with pytest.raises(ValueError, match=words):
        place_of(url)


@pytest.mark.parametrize("url", ["etcds://me:secret@a/prod", "x me:secret@a", "etcd://secret@b"])
def test_no_refusal_repeats_a_login(url: str) -> None:
    """It is shown on a screen and in logs."""
    with pytest.raises(ValueError) as told:
        place_of(url)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("url", "access", "words"),
    [
        ("etcds://a/p", Access(user="me"), "or neither"),
        ("etcds://a/p", Access(password="word"), "or neither"),
        ("etcd://a/p?insecure", Access("me", "word"), "is not sent without TLS"),
        ("etcd://127.0.0.1,a/p?insecure", Access("me", "word"), "is not sent without TLS"),
        ("etcds://a/p", Access(key="k.pem"), "TTSLO_STORE_CERT"),
        ("etcd://127.0.0.1/p", Access(ca="ca.pem"), "are for TLS"),
        ("etcd://127.0.0.1/p", Access(cert="c.pem"), "are for TLS"),
    ],
)
def test_access_that_is_half_or_would_be_overheard_is_refused(
    url: str, access: Access, words: str
) -> None:
    """A password beyond this machine goes through TLS alone."""
    with pytest.raises(ValueError, match=words):
        check_access(place_of(url), access)


@pytest.mark.parametrize("url", ["etcds://a/p", "etcd://127.0.0.1/p"])
def test_a_login_may_be_used_here_and_by_tls(url: str) -> None:
    """Both are safe from those between."""
    check_access(place_of(url), Access("me", "word"))


def test_a_password_is_not_shown() -> None:
    """Whoever prints what somebody is."""
    assert "word" not in repr(Access("me", "word"))
