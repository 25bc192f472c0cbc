"""Who may ask for the live page, and what he may do there."""

from __future__ import annotations

import hmac
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kits.signs.web_kit import FIGURES, TOKEN, Answer, ask, connect, request, served
from ttslo_app.face.web.guard import (
    VERBS,
    Confirmations,
    Guard,
    NotAsked,
    PageUnavailable,
    Request,
    Wish,
    check_reach,
    check_token,
    is_everywhere,
    is_loopback,
    wish_from,
)
from ttslo_app.face.web.server import Figures, WebServer

HERE = Guard()
ATTIC = Guard("attic.lan", is_tls=True, token=TOKEN)


def asked(**changes: Any) -> Request:
    """Return a request as a browser on this machine makes it."""
    values: dict[str, Any] = {"path": "/events", "hosts": ["127.0.0.1:8765"], "origins": [],
                              "headers": {}}  # fmt: skip
    return Request(**{**values, **changes})


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8765", "localhost:8765", "LOCALHOST", "127.0.0.1", "[::1]:8765", "127.9.9.9:1",
     "localhost.:80"],
)  # fmt: skip
def test_own_names_are_answered(host: str) -> None:
    """As a person on this machine writes them."""
    assert HERE.check(asked(hosts=[host])) is None


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "localhost.evil.example",
     "10.0.0.1:8765", "", " ", "127.0.0.1:8765/evil", "user@127.0.0.1", "127.0.0.1:99999999",
     "[::1", "127.0.0.1\\.evil", "0.0.0.0:8765", "2130706433", "127.1"],
)  # fmt: skip
def test_foreign_names_are_refused(host: str) -> None:
    """A name of somebody else's can be made to lead here: their page would read the answer."""
    refused = HERE.check(asked(hosts=[host]))
    assert refused is not None
    assert refused.status == 403


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
def test_one_host_and_no_other_is_named(hosts: list[str]) -> None:
    """With two of them each reader may go by another one."""
    assert HERE.check(asked(hosts=hosts)) is not None


def test_page_for_others_has_the_name_that_it_was_given() -> None:
    """And those of the machine itself, but no other."""
    assert ATTIC.check(asked(hosts=["attic.lan:8765"])) is None
    assert ATTIC.check(asked(hosts=["Attic.LAN"])) is None
    assert ATTIC.check(asked(hosts=["localhost:8765"])) is None
    assert ATTIC.check(asked(hosts=["cellar.lan"])) is not None


def test_page_on_each_address_takes_any_name_under_its_certificate_alone() -> None:
    """Nobody knows by which name it is reached."""
    for host in ("0.0.0.0", "::"):
        assert Guard(host, is_tls=True, token=TOKEN).check(asked(hosts=["any.lan"])) is None
        assert Guard(host, token=TOKEN).check(asked(hosts=["any.lan"])) is not None


# --- origins -------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8765", "HTTP://127.0.0.1:8765"])
def test_own_origin_is_answered(origin: str) -> None:
    """It is the page itself that asks."""
    assert HERE.check(asked(origins=[origin])) is None


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "https://127.0.0.1:8765", "http://127.0.0.1:8766", "null", "",
     "http://localhost:8765", "http://127.0.0.1:8765.evil.example"],
)  # fmt: skip
def test_foreign_origin_is_refused(origin: str) -> None:
    """Also that of another server of this machine, of which nobody knows whose it is."""
    refused = HERE.check(asked(origins=[origin]))
    assert refused is not None
    assert refused.status == 403


def test_each_origin_counts() -> None:
    """The second one, too."""
    own = "http://127.0.0.1:8765"
    assert HERE.check(asked(origins=[own, "http://evil.example"])) is not None


def test_origin_under_a_certificate_is_https() -> None:
    """A page that came in the clear is another one."""
    hosts = ["attic.lan:8765"]
    assert ATTIC.check(asked(hosts=hosts, origins=["https://attic.lan:8765"])) is None
    assert ATTIC.check(asked(hosts=hosts, origins=["http://attic.lan:8765"])) is not None


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("path", ["/events", "/metrics", "/healthz", "/page.js", "/login"])
def test_browser_that_says_who_asks_is_believed(site: str, path: str) -> None:
    """An image or a script of another page sends no origin, but this."""
    headers = {"sec-fetch-site": site}
    assert HERE.check(asked(path=path, headers=headers)) is not None


def test_link_from_another_page_may_lead_here() -> None:
    """And so may what a person types, or the page itself."""
    assert HERE.check(asked(path="/", headers={"sec-fetch-site": "cross-site"})) is None
    for site in ("none", "same-origin"):
        assert HERE.check(asked(headers={"sec-fetch-site": site})) is None


# --- tokens --------------------------------------------------------------------------------------


def test_without_a_token_nobody_need_show_one() -> None:
    """As on a machine of one's own."""
    assert HERE.is_known(asked())
    assert not HERE.knows("")


@pytest.mark.parametrize("value", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Bearer  {TOKEN} "])
def test_token_is_known(value: str) -> None:
    """As Prometheus and others send it."""
    assert ATTIC.is_known(asked(headers={"authorization": value}))


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer ", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}",
     "Bearer \u1234\u00e9", f"Bearer {TOKEN.upper()}"],
)  # fmt: skip
def test_what_is_not_the_token_is_not_known(value: str) -> None:
    """Whatever it is, it raises nothing."""
    assert not ATTIC.is_known(asked(headers={"authorization": value}))
    assert not ATTIC.is_known(asked())


def test_cookie_stands_for_the_token_and_tells_it_to_nobody() -> None:
    """It stays good over a restart, and with another token it is none."""
    cookie = ATTIC.cookie()
    assert ATTIC.is_known(asked(cookie=cookie))
    assert TOKEN not in cookie
    assert Guard("attic.lan", token=TOKEN).cookie() == cookie
    assert Guard("attic.lan", token=f"{TOKEN}2").cookie() != cookie
    for wrong in ("", cookie[:-1], TOKEN, "\u1234"):
        assert not ATTIC.is_known(asked(cookie=wrong))


def test_secrets_are_compared_in_a_time_that_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the token goes by the one comparison that is made for it."""
    compared: list[tuple[bytes, bytes]] = []
    true = hmac.compare_digest

    def noted(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return true(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    assert not ATTIC.is_known(asked(headers={"authorization": "Bearer wrong"}, cookie="bad"))
    assert [one for one, _ in compared] == [b"wrong", b"bad"]


@pytest.mark.parametrize("text", ["short", "x" * 15, "correct horse battery", "x" * 20 + "\u00e9"])
def test_token_that_could_be_guessed_or_cannot_be_sent_is_refused(text: str) -> None:
    """With the cure, and without the token."""
    with pytest.raises(PageUnavailable, match="at least 16 letters") as caught:
        check_token(text)
    assert text not in str(caught.value)


def test_token_is_taken_without_the_blanks_around_it() -> None:
    """A file ends with a line feed; none at all is none."""
    assert check_token(f" {TOKEN}\n") == TOKEN
    assert check_token("\n") == ""


# --- reach ---------------------------------------------------------------------------------------


def test_page_for_this_machine_needs_nothing() -> None:
    """Whatever it is called."""
    check_reach("localhost", ["127.0.0.1", "::1"], has_cert=False, has_token=False)


@pytest.mark.parametrize(
    ("has_cert", "has_token", "missing"),
    [(False, False, "a certificate and a token"), (True, False, "needs a token"),
     (False, True, "needs a certificate")],
)  # fmt: skip
def test_page_for_others_needs_both(has_cert: bool, has_token: bool, missing: str) -> None:
    """The sentence says which one is missing, and how to give it."""
    with pytest.raises(PageUnavailable, match=missing) as caught:
        check_reach("10.1.1.1", ["10.1.1.1"], has_cert=has_cert, has_token=has_token)
    assert "--web-cert FILE" in str(caught.value)


def test_one_address_that_others_reach_is_enough() -> None:
    """A name may stand for several."""
    with pytest.raises(PageUnavailable):
        check_reach("attic", ["127.0.0.1", "192.168.1.5"], has_cert=False, has_token=False)
    check_reach("attic", ["127.0.0.1", "192.168.1.5"], has_cert=True, has_token=True)


def test_what_an_address_means() -> None:
    """Names are none."""
    assert [a for a in ("127.0.0.1", "::1", "10.0.0.1", "attic") if is_loopback(a)] == [
        "127.0.0.1", "::1"
    ]  # fmt: skip
    assert [a for a in ("0.0.0.0", "::", "127.0.0.1", "attic") if is_everywhere(a)] == [
        "0.0.0.0", "::"
    ]  # fmt: skip


class Clock:
    """Seconds that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return them."""
        return self.now


def confirmations() -> tuple[Confirmations, Clock]:
    """Return open questions, and their clock; their codes count up."""
    clock, codes = Clock(), iter(f"code-{n}" for n in range(1000))
    return Confirmations(clock, lambda: next(codes)), clock


# --- by itself ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [None, [], "fire", {}, {"verb": "fire"}, {"row": "btc"}, {"verb": "sell", "row": "btc"},
     {"verb": "fire", "row": ""}, {"verb": "fire", "row": 7}, {"verb": ["fire"], "row": "btc"},
     {"verb": "fire", "row": "x" * 300}, {"verb": "fire", "row": "btc", "code": 1},
     {"verb": "FIRE", "row": "btc"}],
)  # fmt: skip
def test_request_that_is_none_is_refused(body: object) -> None:
    """Whatever came, it is a wish or it is refused."""
    with pytest.raises(NotAsked, match="arm, disarm, fire or cancel"):
        wish_from(body)


@pytest.mark.parametrize("verb", VERBS)
def test_wish_is_read(verb: str) -> None:
    """A question has no code, a confirmation has."""
    assert wish_from({"verb": verb, "row": "btc"}) == Wish(verb, "btc")
    assert wish_from({"verb": verb, "row": "btc", "code": "c"}) == Wish(verb, "btc", "c")


def test_code_does_what_was_asked_once_and_soon() -> None:
    """A second click, or one of the next day, does nothing."""
    open_questions, clock = confirmations()
    code = open_questions.ask(Wish("fire", "btc"))
    assert open_questions.take(Wish("fire", "btc", code))
    assert not open_questions.take(Wish("fire", "btc", code))
    late = open_questions.ask(Wish("fire", "btc"))
    clock.now += 31
    assert not open_questions.take(Wish("fire", "btc", late))


@pytest.mark.parametrize("other", [Wish("fire", "eth"), Wish("cancel", "btc")])
def test_code_of_one_question_answers_no_other(other: Wish) -> None:
    """What a person read is what is done; and the code is spent."""
    open_questions, _ = confirmations()
    code = open_questions.ask(Wish("fire", "btc"))
    assert not open_questions.take(Wish(other.verb, other.row, code))
    assert not open_questions.take(Wish("fire", "btc", code))


@pytest.mark.parametrize("code", ["", "x", "code", "code-00", "c\u00f6de-0", "\ud800"])
def test_code_that_was_not_given_is_none(code: str) -> None:
    """Nor a part of one."""
    open_questions, _ = confirmations()
    open_questions.ask(Wish("fire", "btc"))
    assert not open_questions.take(Wish("fire", "btc", code))


def test_many_questions_do_not_fill_the_memory() -> None:
    """The oldest are forgotten."""
    open_questions, _ = confirmations()
    codes = [open_questions.ask(Wish("arm", f"r{n}")) for n in range(40)]
    assert not open_questions.take(Wish("arm", "r0", codes[0]))
    assert open_questions.take(Wish("arm", "r39", codes[39]))


# --- over the wire --------------------------------------------------------------------------------


class Doer:
    """Notes what it was told to do."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self, verb: str, row: str) -> tuple[bool, str]:
        """Do it."""
        self.go_on.wait(60)
        self.done.append((verb, row))
        return row != "bad", f"{row}: {verb} done"


@pytest.fixture
def doer() -> Doer:
    """Hand out what does it."""
    return Doer()


@pytest.fixture
def acting(doer: Doer) -> Iterator[WebServer]:
    """Hand out a server whose page may do something, for who knows the token."""
    with served(Guard(token=TOKEN), Figures(FIGURES.metrics, FIGURES.health, doer)) as made:
        yield made


def act(server: WebServer, *leave_out: str, **wish: Any) -> Answer:
    """Ask for something, as the page does, with some headers left out or put in others' place."""
    headers = {
        "Origin": "http://127.0.0.1",
        "X-TTSLO": "1",
        "Authorization": f"Bearer {TOKEN}",
    }
    for text in leave_out:
        name, _, value = text.partition(": ")
        headers.pop(name)
        headers |= {name: value} if value else {}
    lines = [f"{name}: {value}" for name, value in headers.items()]
    return ask(server, "/act", *lines, method="POST", body=json.dumps(wish))


def test_second_word_does_it_once(acting: WebServer, doer: Doer) -> None:
    """The first only tells what will happen."""
    asked = act(acting, verb="fire", row="btc")
    told = json.loads(asked.body)
    assert asked.status == 202
    assert told["text"] == "Fire btc: its trailing stop is placed NOW, at today's price"
    assert doer.done == []
    for _ in range(2):
        done = act(acting, verb="fire", row="btc", code=told["code"])
    assert done.status == 409
    assert doer.done == [("fire", "btc")]


def test_answer_is_told(acting: WebServer) -> None:
    """Whether it was done, and the sentence of whoever did it."""
    for row, is_done in (("btc", True), ("bad", False)):
        code = json.loads(act(acting, verb="cancel", row=row).body)["code"]
        told = json.loads(act(acting, verb="cancel", row=row, code=code).body)
        assert told == {"done": is_done, "text": f"{row}: cancel done"}


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ("Origin", 403),
        ("Origin: http://evil.example", 403),
        ("Origin: null", 403),
        ("X-TTSLO", 403),
        ("X-TTSLO: 0", 403),
        ("Authorization", 401),
        ("Authorization: Bearer wrong-wrong-wrong-wrong", 401),
    ],
)
def test_nobody_else_can_ask(acting: WebServer, doer: Doer, changed: str, status: int) -> None:
    """Another page, one without an origin, one without the header, one without the token."""
    answer = act(acting, changed, verb="fire", row="btc")
    assert answer.status == status
    assert "code" not in answer.body
    assert doer.done == []


def test_foreign_host_cannot_ask(acting: WebServer, doer: Doer) -> None:
    """A name that somebody points to this machine."""
    headers = ("Origin: http://evil.example", "X-TTSLO: 1", f"Authorization: Bearer {TOKEN}")
    body = json.dumps({"verb": "fire", "row": "btc"})
    answer = ask(acting, "/act", *headers, method="POST", host="evil.example", body=body)
    assert answer.status == 403
    assert doer.done == []


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '{"verb": "fire"}', "x" * 5000])
def test_nonsense_is_refused(acting: WebServer, doer: Doer, body: str) -> None:
    """With a sentence, and nothing is done."""
    headers = ("Origin: http://127.0.0.1", "X-TTSLO: 1", f"Authorization: Bearer {TOKEN}")
    answer = ask(acting, "/act", *headers, method="POST", body=body)
    assert answer.status in (400, 413)
    assert doer.done == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_a_post_asks(acting: WebServer, method: str) -> None:
    """A link or a picture must not."""
    headers = ("Origin: http://127.0.0.1", "X-TTSLO: 1", f"Authorization: Bearer {TOKEN}")
    assert ask(acting, "/act", *headers, method=method).status in (404, 405)


def test_page_that_can_only_be_read_does_nothing() -> None:
    """Unless its owner has said otherwise."""
    with served(Guard(token=TOKEN)) as server:
        answer = act(server, verb="fire", row="btc")
        assert (answer.status, "--web-actions" in answer.body) == (404, True)


def test_page_is_told_what_it_may_do(acting: WebServer) -> None:
    """Before the rows, so that it offers nothing that is refused."""
    for server, is_told in ((acting, True),):
        sock = connect(server)
        sock.sendall(request("/events", f"Authorization: Bearer {TOKEN}"))
        data = b""
        while b"retry" not in data:
            data += sock.recv(4096)
        sock.close()
        assert (b"event: actions" in data) is is_told


def test_what_takes_long_holds_up_no_page(acting: WebServer, doer: Doer) -> None:
    """An order may wait for Kraken; the page goes on meanwhile."""
    doer.go_on.clear()
    code = json.loads(act(acting, verb="fire", row="btc").body)["code"]
    waiting = threading.Thread(
        target=act, args=(acting,), kwargs={"verb": "fire", "row": "btc", "code": code}
    )
    waiting.start()
    assert ask(acting, "/healthz", f"Authorization: Bearer {TOKEN}").status == 200
    doer.go_on.set()
    waiting.join(60)
    assert doer.done == [("fire", "btc")]
