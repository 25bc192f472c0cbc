"""What the page may do: asked, confirmed and done once; and nothing for anybody else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from web_kit import FIGURES, TOKEN, Answer, ask, connect, request, served

from ttslo_app.face.web.actions import VERBS, Confirmations, NotAsked, Wish, wish_from
from ttslo_app.face.web.guard import Guard
from ttslo_app.face.web.server import Figures, WebServer


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
