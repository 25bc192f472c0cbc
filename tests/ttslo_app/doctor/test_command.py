"""The doctor as a whole: its table, its deadline, its report, and that it disturbs nobody."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_kraken import FakeKraken
from krakenlink.errors import KrakenConnectionError
from krakenlink.machine import feed_clock
from tests.kits.program.doctor_kit import EVERY_ID, Clinic, clinic
from tests.kits.program.program_process import Scene, wait_until
from ttslo import main
from ttslo_app.doctor import command as doctor
from ttslo_app.doctor.command import Check, Examination
from ttslo_app.doctor.local import Findings, Patient
from ttslo_app.doctor.network import StreamLook
from ttslo_app.doctor.words import say, status_of

__all__ = ["clinic"]

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
TABLE = doctor.table(StreamLook())


def patient(seconds: float = 60.0) -> Patient:
    """Return somebody to be looked at, with so much time."""
    return Patient(
        ("config.csv", "state.csv", "logs.csv"),
        ".env",
        is_env_named=False,
        use_websocket=True,
        cache_dir=".",
        ends_at=feed_clock() + seconds,
    )


def well(_: Patient) -> Findings:
    """Find all well."""
    yield say("no proxy")


def ill(_: Patient) -> Findings:
    """Find something that fails."""
    yield say("rest silent", error="no answer")


def examined(*checks: Check, seconds: float = 60.0) -> list[tuple[str, str, str]]:
    """Return what checks find: id, status, text."""
    findings = Examination(patient(seconds), checks, seconds).findings()
    return [(name, status_of(sentence), sentence.text) for name, sentence in findings]


# --- the table -------------------------------------------------------------------------------


def test_ids_are_unique_and_have_the_form_that_is_promised() -> None:
    """Small words with dots between, the group first."""
    assert len(set(EVERY_ID)) == len(EVERY_ID)
    assert all(re.fullmatch(r"[a-z]+(\.[a-z]+)?", name) for name in EVERY_ID)


@pytest.mark.parametrize("check", TABLE, ids=lambda check: check.id)
def test_check_waits_only_for_checks_that_stand_before_it(check: Check) -> None:
    """So no two ever wait for each other, and each is told after its reasons."""
    before = EVERY_ID[: EVERY_ID.index(check.id)]
    assert set(check.needs) | set(check.after) <= set(before)


def test_private_calls_come_after_the_locks_were_looked_at() -> None:
    """Else the key of a program that runs would be used before anybody knows of it."""
    by_id = {check.id: check for check in TABLE}
    assert "files.locks" in by_id["keys.found"].after
    asking = [check for check in TABLE if check.id in ("rows.funds", "rows.orders")]
    assert all("keys.found" in check.after for check in asking)


# --- one deadline ----------------------------------------------------------------------------


def test_findings_come_in_the_order_of_the_table_whoever_is_first() -> None:
    """A lane that is quick does not overtake one that stands above it."""
    second_is_done = threading.Event()

    def slow(_: Patient) -> Findings:
        assert second_is_done.wait(60)
        yield say("no proxy")

    def quick(_: Patient) -> Findings:
        yield say("engine online")
        second_is_done.set()

    found = examined(Check("a", "one", slow), Check("b", "two", quick))
    assert [name for name, _, _ in found] == ["a", "b"]


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Hand out what lets a check that hangs go on at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


def test_check_that_hangs_fails_alone_and_those_behind_it_are_named(
    release: threading.Event,
) -> None:
    """What it found before is told, too; other lanes are not held up."""

    def hang(_: Patient) -> Findings:
        yield say("engine online")
        release.wait(60)

    began = feed_clock()
    found = examined(
        Check("a", "one", hang), Check("b", "one", well), Check("c", "two", well), seconds=2.0
    )
    assert feed_clock() - began < 30
    assert [(name, status) for name, status, _ in found] == [
        ("a", "ok"),
        ("a", "fail"),
        ("b", "warn"),
        ("c", "ok"),
    ]
    assert found[1][2] == "no answer within 2 s"
    assert found[2][2] == "not looked at: no time was left"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KrakenConnectionError("Time: reset", request_sent=True), "at: Time: reset"),
        (RuntimeError("a defect"), "at: RuntimeError: a defect"),
        (OSError(5, "Input/output error"), "at: OSError: Input/output error"),
    ],
)
def test_check_that_breaks_is_told_and_the_next_goes_on(error: Exception, text: str) -> None:
    """Whatever is broken, all else is looked at."""

    def broken(_: Patient) -> Findings:
        raise error
        yield

    found = examined(Check("a", "one", broken), Check("b", "one", well))
    assert [(name, status) for name, status, _ in found] == [("a", "fail"), ("b", "ok")]
    assert found[0][2].endswith(text)


def test_what_has_no_sense_is_not_looked_at_down_to_the_last(release: threading.Event) -> None:
    """A check that needs one which was itself not looked at, is not either."""
    looked = []

    def look(_: Patient) -> Findings:
        looked.append(1)
        yield from well(_)

    found = examined(
        Check("a", "one", ill), Check("b", "two", look, ("a",)), Check("c", "three", look, ("b",)),
        Check("d", "four", look, after=("a",)),
    )  # fmt: skip
    assert [(name, status) for name, status, _ in found] == [
        ("a", "fail"),
        ("b", "warn"),
        ("c", "warn"),
        ("d", "ok"),
    ]
    assert found[1][2] == "not looked at, as a fails"
    assert looked == [1]


def test_one_bad_line_among_good_ones_stops_nobody() -> None:
    """One row, or one host, says nothing of the others."""

    def both(_: Patient) -> Findings:
        yield from ill(_)
        yield from well(_)

    found = examined(Check("a", "one", both), Check("b", "two", well, ("a",)))
    assert [status for _, status, _ in found] == ["fail", "ok", "ok"]


# --- the report ------------------------------------------------------------------------------


def test_all_is_well_where_all_is_well(clinic: Clinic) -> None:
    """Exit code 0, every id once at least, and orders were only checked."""
    report = clinic.examine()
    assert (report.code, report.failing(), report.odd()) == (0, set(), set())
    orders = [call for call in clinic.exchange.requests if call.endpoint == "AddOrder"]
    assert [call.params["validate"] for call in orders] == ["true"]
    assert report.only("stream.price")[1].startswith("BTC/USD 50000")


def schema() -> dict[str, object]:
    """Return the schema that the document promises."""
    return dict(json.loads(DOCUMENT.partition("```json\n")[2].partition("```")[0]))


def complaints(value: object, wanted: object, where: str = "") -> list[str]:
    """Return where a value is not what the schema wants: types, names, and words to choose from."""
    if isinstance(wanted, dict):
        if not isinstance(value, dict) or list(value) != list(wanted):
            return [f"{where}: the names differ"]
        return [c for name, part in wanted.items() for c in complaints(value[name], part, name)]
    if isinstance(wanted, list):
        parts = value if isinstance(value, list) and value else [None]
        return [c for part in parts for c in complaints(part, wanted[0], f"{where}[]")]
    kinds: dict[object, Any] = {
        "number": (int, float),
        "integer": int,
        "boolean": bool,
        "text": str,
    }
    if wanted in kinds:
        return [] if isinstance(value, kinds[wanted]) else [f"{where}: {value!r}"]
    return [] if value in str(wanted).split(" | ") else [f"{where}: {value!r}"]


def test_report_keeps_to_its_schema(clinic: Clinic) -> None:
    """As docs/doctor.md has it, well and ill."""
    for _ in range(2):
        told = clinic.examine().told
        assert complaints(told, schema()) == []
        assert told["schema"] == doctor.SCHEMA
        statuses = [one["status"] for one in told["checks"]]
        assert told["counts"] == {s: statuses.count(s) for s in ("ok", "warn", "fail")}
        assert told["ok"] is ("fail" not in statuses)
        clinic.set(KRAKEN_API_SECRET_RW="", KRAKEN_SPOT_URL="nowhere")


def test_schema_finds_what_it_looks_for() -> None:
    """A test that cannot fail is none."""
    good = {"schema": 1, "checks": [{"status": "ok"}]}
    wanted = {"schema": "integer", "checks": [{"status": "ok | warn"}]}
    assert complaints(good, wanted) == []
    for bad in ({"schema": "1", "checks": []}, {"schema": 1}, {**good, "checks": [{}]},
                {**good, "checks": [{"status": "bad"}]}):  # fmt: skip
        assert complaints(bad, wanted)


def test_document_names_every_check_and_no_other() -> None:
    """Whoever reads `--json` looks there."""
    named = re.findall(r"^\| `([a-z.]+)` \|", DOCUMENT, re.MULTILINE)
    assert named == list(EVERY_ID)


def test_lines_are_one_a_check_with_mark_id_and_cure(
    clinic: Clinic, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person reads what helps in the same line; the last one counts."""
    clinic.set(KRAKEN_API_KEY_RW="", KRAKEN_API_SECRET_RW="")
    clinic.write("bad,BTC/USD,soon,above,sell,0.01,0.5,true")
    assert doctor.main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert all(re.match(r"(ok  |warn|FAIL) [a-z.]+ +\S", line) for line in lines[:-1])
    (key,) = (line for line in lines if "CANNOT PLACE ORDERS" in line)
    assert key.startswith("warn keys.found")
    assert key.endswith(". Set KRAKEN_API_KEY_RW and KRAKEN_API_SECRET_RW")
    assert re.fullmatch(r"\d+ ok, \d+ warn, \d+ FAIL, in \d+\.\d s; nothing was placed", lines[-1])


def test_it_is_a_word_of_the_program(clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    """`ttslo doctor --json` is this, and a flag that is none ends with 2."""
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"]
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--once"])
    assert ended.value.code == 2


def test_it_ends_in_time_where_nobody_ever_answers(clinic: Clinic) -> None:
    """All that does not depend on the network is told all the same."""
    clinic.exchange.fault("black_hole")
    began = feed_clock()
    report = clinic.examine(seconds=1.0)
    assert feed_clock() - began < 30
    assert "rest.time" in report.failing()
    assert report.only("files.config")[0] == "ok"
    assert set(report.statuses("rows.orders")) == {"warn"}


def test_nothing_is_left_behind(clinic: Clinic) -> None:
    """No file is made or changed, and no list of pairs is kept."""
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    clinic.examine()
    after = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    kept = {path for path in set(after) - set(before) if path.name.startswith("nonce-")}
    assert set(after) - kept == set(before)
    assert all(after[path] == content for path, content in before.items())


def test_machine_without_any_place_for_temporary_files_is_looked_at(clinic: Clinic) -> None:
    """As in a container whose root is read-only."""

    def nowhere(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found")

    clinic.patch.setattr("tempfile.TemporaryDirectory", nowhere)
    assert clinic.examine().code == 0


# --- beside a program that runs --------------------------------------------------------------


def test_program_that_runs_is_not_disturbed(
    exchange: FakeKraken,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its locks stay its own, its trading key is not used, and its crossing leads to one order."""
    scene = Scene(exchange, tmp_path)
    clinic = Clinic(exchange, monkeypatch, capsys)
    monkeypatch.chdir(tmp_path)
    with scene.run() as program:
        scene.wait_for_stream(program)
        wait_until(lambda: exchange.count("AddOrder") == 1, "the program has its order checked")
        nonces = exchange.count("GetApiKeyInfo")
        report = clinic.examine()
        assert report.code == 0
        assert report.statuses("files.locks") == ["ok", "ok"]
        assert all(f"process {program.pid}" in text for _, text, _ in report.lines("files.locks"))
        left_alone = report.lines("keys.found")[1]
        assert (left_alone[0], "could spoil a nonce" in left_alone[1]) == ("warn", True)
        assert exchange.count("AddOrder") == 1
        assert exchange.count("GetApiKeyInfo") == nonces + 1  # with the reading key alone
        scene.cross()
        scene.wait_for_files(program)
        assert program.end() == 0
    assert len(scene.sent) == 1
