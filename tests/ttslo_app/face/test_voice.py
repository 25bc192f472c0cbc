"""What is said reaches screen and log, and nobody waits for either."""

from __future__ import annotations

import io
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TextIO, cast

import pytest

from fake_kraken import FakeKraken
from tests.kits.program.program_process import PAIR, ROW, Scene, wait_until
from ttslo_app.face.voice import (
    LIBRARIES,
    Console,
    Ear,
    Lane,
    SpokenHandler,
    Voice,
    as_json,
    is_fit_to_show,
    write_line,
)
from ttslo_app.messages import Kind, Said

LONG, SHORT = 60.0, 0.05


def in_time(seconds: float = LONG) -> float:
    """Return a deadline."""
    return time.monotonic() + seconds


class Stuck:
    """Something that takes jobs up, and ends none before it is let go."""

    def __init__(self) -> None:
        self.is_met, self.go = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.is_met.set()
        assert self.go.wait(LONG)


@pytest.fixture
def lost() -> list[int]:
    """Hand out where a lane tells how much it has thrown away."""
    return []


@pytest.fixture
def lane(lost: list[int]) -> Iterator[Lane]:
    """Hand out a lane for three jobs, started."""
    made = Lane("ttslo-test", lost.append, limit=3)
    made.start()
    yield made
    assert made.stop(in_time())


def test_jobs_are_done_in_order_and_all_before_the_end(lost: list[int]) -> None:
    """Nothing is lost at a normal stop, and nothing overtakes."""
    done: list[int] = []
    lane = Lane("ttslo-test", lost.append)
    lane.start()
    for number in range(1000):
        lane.put(partial(done.append, number))
    assert lane.stop(in_time())
    lane.put(lambda: done.append(1000))  # on this thread again
    assert (done, lost) == (list(range(1001)), [])


def test_stuck_job_keeps_nobody_waiting_and_the_oldest_are_dropped_beyond_the_bound(
    lane: Lane, lost: list[int]
) -> None:
    """Memory is bounded, and how much was thrown away is told before what follows it."""
    stuck, done = Stuck(), list[int]()
    lane.put(stuck)
    assert stuck.is_met.wait(LONG)
    for number in range(5):
        lane.put(partial(done.append, number))
    stuck.go.set()
    assert lane.stop(in_time())
    assert (done, lost) == ([2, 3, 4], [2])


def test_end_waits_no_longer_than_it_is_told_to(lane: Lane) -> None:
    """A stop that gives up leaves a lane that still keeps nobody waiting."""
    stuck, done = Stuck(), threading.Event()
    lane.put(stuck)
    assert not lane.stop(in_time(SHORT))
    lane.put(done.set)
    assert not done.is_set()
    stuck.go.set()
    assert done.wait(LONG)


def test_job_that_fails_silences_no_other(lane: Lane) -> None:
    """Whatever writing a line raises, the next one is written."""
    done = threading.Event()
    lane.put(lambda: 1 / 0)
    lane.put(done.set)
    assert done.wait(LONG)


def test_started_twice_is_one_thread(lane: Lane) -> None:
    """A second start changes nothing."""
    lane.start()
    assert sum(thread.name == "ttslo-test" for thread in threading.enumerate()) == 1


def said(text: str, kind: Kind = Kind.LINK) -> Said:
    """Return something that was said."""
    return Said(kind, "INFO", "", text, 1.8e9)


def test_all_who_listen_hear_everything_in_order() -> None:
    """One who takes nothing up takes nothing away from another."""
    voice, ears = Voice(lambda *args: None, lambda text: None), (Ear(), Ear())
    voice.tell(said("heard by nobody"))
    for ear in ears:
        voice.listen(ear)
    for text in ("one", "two"):
        voice.tell(said(text))
    for ear in ears:
        assert [ear.take(), ear.take(), ear.take()] == [said("one"), said("two"), None]
        assert ear.missed() == 0


def test_ear_that_takes_nothing_up_keeps_the_newest_and_counts_the_rest() -> None:
    """Nobody waits for it, its memory is bounded, and it knows what it has missed."""
    ear = Ear(limit=3)
    for number in range(1000):
        ear.hear(said(str(number)))
    assert (ear.missed(), ear.missed()) == (997, 0)
    assert [ear.take(), ear.take(), ear.take(), ear.take()] == [
        *(said(text) for text in ("997", "998", "999")),
        None,
    ]


def test_ear_wakes_who_waits_for_it() -> None:
    """A listener sleeps until something is said."""
    ear, taken = Ear(), list[Said | None]()
    listener = threading.Thread(target=lambda: taken.append(ear.take(LONG)))
    listener.start()
    ear.hear(said("at last"))
    listener.join(LONG)
    assert taken == [said("at last")]


def test_many_who_speak_at_once_lose_nothing_but_what_is_counted() -> None:
    """What was heard and what was missed is all that was said."""
    ear = Ear(limit=100)

    def speak() -> None:
        for number in range(500):
            ear.hear(said(str(number)))

    speakers = [threading.Thread(target=speak) for _ in range(4)]
    for one in speakers:
        one.start()
    for one in speakers:
        one.join(LONG)
    heard = 0
    while ear.take() is not None:
        heard += 1
    assert (heard, heard + ear.missed()) == (100, 2000)


def test_screen_that_is_stopped_holds_no_line_of_the_log_back() -> None:
    """The two do not wait for one another."""
    stuck, logged = Stuck(), threading.Event()
    voice = Voice(lambda level, message, **fields: logged.set(), lambda text: stuck())
    voice.start()
    voice.show("seen by nobody yet")
    assert stuck.is_met.wait(LONG)
    voice.log("INFO", "written", id="up")
    assert logged.wait(LONG)
    stuck.go.set()
    voice.stop(LONG)


def test_lines_that_are_missing_are_told_where_they_are_missing() -> None:
    """Somebody who looks at screen or log knows that there was more."""
    lines: list[str] = []
    voice = Voice(lambda level, text, **fields: lines.append(f"{level} {text}"), lines.append)
    voice._lost_from_file(3)
    voice._lost_from_screen(2)
    assert lines[0].startswith("WARNING 3 lines are missing here")
    assert "... 2 lines were not shown in time" in lines[1]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_line_is_written_past_the_buffer_and_after_what_is_in_it(
    tmp_path: Path, encoding: str
) -> None:
    """Order is kept, and a letter that the screen does not know costs no line."""
    with (tmp_path / "screen").open("w", encoding=encoding, newline="\n") as stream:
        stream.write("first ")
        write_line(stream, "s\u00e9cond")
        written = (tmp_path / "screen").read_bytes().replace(b"\r", b"")
    assert written == "first s\u00e9cond\n".encode(encoding, "backslashreplace")


def test_stream_without_a_file_underneath_is_printed_to() -> None:
    """A stream of a host program's own is as good, and no stream at all is no error."""
    stream = io.StringIO()
    write_line(stream, "seen")
    write_line(None, "seen by nobody")
    assert stream.getvalue() == "seen\n"


def test_stream_of_a_host_program_gets_letters_that_it_does_not_know_written_out() -> None:
    """An encoding without the letter must not swallow the line."""

    class Narrow(io.StringIO):
        encoding = "ascii"

        def write(self, text: str) -> int:
            text.encode("ascii")
            return super().write(text)

    stream = Narrow()
    write_line(stream, "s\u00e9cond \ud800")
    assert stream.getvalue() == "s\\xe9cond \\ud800\n"


class Hesitant(io.RawIOBase):
    """A stream that was told not to wait: at first it is full, then it takes two bytes at once."""

    def __init__(self) -> None:
        self.taken = b""
        self.tries = 0

    def write(self, data: Any) -> int | None:
        self.tries += 1
        if self.tries == 1:
            return None
        self.taken += bytes(data[:2])
        return min(2, len(data))


class Screen:
    """A text stream on a raw one."""

    encoding = None

    def __init__(self, raw: io.RawIOBase) -> None:
        self.buffer = self
        self.raw = raw

    def flush(self) -> None:
        """Hold nothing back."""


def test_stream_that_takes_little_at_once_gets_all_of_it() -> None:
    """A full stream is tried again, a line that was taken in part is finished."""
    raw = Hesitant()
    write_line(cast("TextIO", Screen(raw)), "all of it")
    assert raw.taken == f"all of it{os.linesep}".encode()


def test_gone_screen_is_no_error(tmp_path: Path) -> None:
    """A terminal that was closed stops nothing."""
    with (tmp_path / "screen").open("w", encoding="utf-8") as stream:
        stream.close()
        write_line(stream, "seen by nobody")


def test_records_of_logging_go_the_same_way() -> None:
    """Before there is a lane they are written at once, afterwards in their turn."""
    stream, lane = io.StringIO(), Lane("ttslo-test", lambda count: None)
    handler = SpokenHandler(stream)
    record = logging.LogRecord("name", logging.INFO, "", 0, "a record", (), None)
    handler.handle(record)
    handler.lane = lane
    lane.start()
    handler.handle(record)
    assert lane.stop(in_time())
    assert stream.getvalue() == "a record\n" * 2


def test_pipe_that_nobody_reads_delays_no_order(exchange: FakeKraken, tmp_path: Path) -> None:
    """A program whose screen is stopped sees prices, places orders, writes its log, and ends."""
    other = ROW.replace("btc,", "more,").replace("51000", "52000")
    scene = Scene(exchange, tmp_path / "scene", [ROW, other])
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as unread, os.fdopen(writing, "wb", buffering=0) as pipe:
        with scene.run("--debug", plan={"quiet": True}, screen=pipe) as program:
            scene.wait_for_stream(program)
            filler = threading.Thread(target=fill, args=(os.dup(pipe.fileno()),))
            filler.start()
            exchange.set_price(PAIR, 51001)
            assert exchange.wait_for(lambda e: e.placed_count() == 1, LONG)
            exchange.set_price(PAIR, 52001)
            assert exchange.wait_for(lambda e: e.placed_count() == 2, LONG)
            scene.wait_for_files(program, "more")
            wait_until(lambda: "crossed at 52001" in scene.logged("INFO"), "the log says so")
            assert program.end() == 0
        unread.close()
        filler.join(LONG)


def fill(handle: int) -> None:
    """Write to a pipe until nobody can read from it any more."""
    with os.fdopen(handle, "wb", buffering=0) as pipe, suppress(OSError):
        while True:
            pipe.write(b"." * 65536)


def test_what_acts_on_a_terminal_is_shown_and_not_obeyed() -> None:
    """Escapes, returns and marks that turn the writing are seen; line ends are the caller's."""
    stream = io.StringIO()
    write_line(stream, "one \x1b[2J\r\ntwo \u202e\x9b")
    assert stream.getvalue() == "one \\x1b[2J\\r\ntwo \\u202e\\x9b\n"


def test_record_of_logging_is_one_line_whoevers_words_are_in_it() -> None:
    """A library that quotes an answer cannot forge a line; tracebacks keep theirs."""
    stream = io.StringIO()
    handler = SpokenHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    record = logging.LogRecord("x", logging.ERROR, "x", 1, "said %s", ("a\n12:00 ERROR b",), None)
    handler.emit(record)
    assert stream.getvalue() == "ERROR said a\\n12:00 ERROR b\n"


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        'say "no"',
        "two\nlines",
        "\x1b[2J\x00\x7f",
        "caf\u00e9 \u202e \U0001f600",
        "\ud800",
        "\u2028",
    ],
)
def test_json_line_is_one_line_of_ascii_and_says_the_text_as_it_is(text: str) -> None:
    """Whatever is in it, no screen and no encoding harms it."""
    line = as_json(Said(Kind.REFUSED, "error", "btc", text, 1.8e9 + 0.25))
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == {
        "time": "2027-01-15T08:00:00.250Z",
        "level": "ERROR",
        "kind": "order refused",
        "row": "btc",
        "text": text,
    }
    stream = io.StringIO()
    write_line(stream, line)
    assert stream.getvalue() == f"{line}\n"


@pytest.mark.parametrize("letter", ["x", "\x00", "\U0001f600"])
def test_json_line_is_never_longer_than_a_line_may_be(letter: str) -> None:
    """A line that is cut on its way would be no JSON any more, so its text is."""
    line = as_json(Said(Kind.OTHER, "INFO", "", letter * 50_000, 1.8e9))
    assert len(line) <= 10_000
    said = json.loads(line)
    assert said["text"].startswith(letter * 100)
    assert said["text"].endswith("...")
    assert said["row"] is None


def test_voice_shows_in_the_form_that_it_was_given() -> None:
    """Rows, troubles of the log and lines that are missing are objects, too."""
    shown: list[str] = []
    voice = Voice(lambda *args, **fields: None, shown.append, as_json)
    voice.show_rows(["btc: armed", "eth: disabled"])
    voice.show_trouble("ERROR", "the log cannot be written")
    voice._lost_from_screen(3)
    said = [json.loads(line) for text in shown for line in text.splitlines()]
    assert [(one["row"], one["kind"], one["level"]) for one in said] == [
        ("btc", "where a row stands", "INFO"),
        ("eth", "where a row stands", "INFO"),
        (None, "disk", "ERROR"),
        (None, "other", "WARNING"),
    ]


def test_record_of_logging_is_an_object_with_its_trace() -> None:
    """What a module logs is parseable, whoever's words are in it."""
    stream = io.StringIO()
    handler = SpokenHandler(stream, is_json=True)
    logger = logging.Logger("a.module")
    logger.addHandler(handler)
    try:
        raise ValueError("inside")
    except ValueError:
        logger.exception("an error\nand %s", "more")
    said = json.loads(stream.getvalue())
    assert said["level"] == "ERROR"
    assert said["text"].startswith("a.module: an error\nand more\nTraceback")
    assert said["text"].endswith("ValueError: inside")


def test_console_speaks_to_people_or_to_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """Trouble goes to the error stream, but for who reads the output as JSON."""
    console = Console()
    console.tell("well")
    console.tell("not well", is_trouble=True)
    assert capsys.readouterr() == ("well\n", "not well\n")
    console.is_json = True
    console.tell("  not\nwell\n", is_trouble=True)
    printed = capsys.readouterr()
    said = json.loads(printed.out)
    assert (said["text"], said["level"], printed.err) == ("not\nwell", "ERROR", "")


def test_nothing_that_a_library_logs_while_it_sends_is_shown() -> None:
    """Requests and its kin log paths, and in a path there is a token; what we log is shown."""
    made: list[logging.LogRecord] = []

    def log_there() -> None:
        names = ("urllib3.connectionpool", "paho", "ttslo_app.face.notify")
        made.extend(logging.LogRecord(n, logging.WARNING, "", 0, "x", (), None) for n in names)

    thread = threading.Thread(target=log_there, name=LIBRARIES)
    thread.start()
    thread.join(LONG)
    log_there()
    assert [is_fit_to_show(one) for one in made] == [False, False, True, True, True, True]
