"""The command line: every flag, every exit code, every way to end, as a process of its own."""

from __future__ import annotations

import csv
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from program_process import (
    HEADER,
    PAIR,
    READ_KEY,
    READ_SECRET,
    ROW,
    ProgramProcess,
    Scene,
    environment_for,
)

from config import ConfigManager
from fake_kraken import FakeKraken
from ttslo import __version__, main

OTHER = "eth,ETH/USD,100,below,sell,0.1,1.25,true"
BAD = "bad,BTC/USD,fifty,above,sell,0.01,0.5,true"
FAR = "far,BTC/USD,90000,above,sell,0.01,0.5,true"
KEYS = ("KRAKEN_API_KEY", "KRAKEN_API_SECRET", "KRAKEN_API_KEY_RW", "KRAKEN_API_SECRET_RW")
WITHOUT_KEYS = dict.fromkeys(KEYS, "")


@pytest.fixture
def scene(exchange: FakeKraken, tmp_path: Path) -> Scene:
    """Hand out a folder with one row, beside an exchange where BTC/USD stands at 50000."""
    return Scene(exchange, tmp_path)


def run(scene: Scene, *flags: str, **env: str) -> tuple[int, str]:
    """Run the program to its end; return the exit code and all that it printed."""
    with scene.run(*flags, plan={"quiet": True}, screen=None, **env) as program:
        return program.wait(), program.output


def assert_no_traceback(output: str) -> None:
    """Fail if a person was shown the inside of the program."""
    assert "Traceback" not in output, output


def arm_then_cross(scene: Scene) -> None:
    """Let a first run arm the row, and the price cross it while the program is off."""
    code, output = run(scene, "--once")
    assert code == 0, output
    scene.cross()


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the contents of the three files and of what may lie beside them."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith("said-")}


def test_sample_config_is_written_once_and_never_over_another(
    place_of_its_own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second time it is left alone, with a sentence and exit code 1."""
    assert main(["--create-sample-config"]) == 0
    sample = (place_of_its_own / "config_sample.csv").read_bytes()
    assert len(ConfigManager(place_of_its_own / "config_sample.csv").load_config()) == 3
    assert main(["--create-sample-config"]) == 1
    assert "is there already and was left alone. Move it away" in capsys.readouterr().err
    assert (place_of_its_own / "config_sample.csv").read_bytes() == sample


@pytest.mark.parametrize("flags", [[], ["--once"], ["--dry-run"], ["--validate-config"]])
def test_missing_config_is_1_and_says_how_to_begin(
    capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    """Without rules there is nothing to run, and the cure is named."""
    assert main(["--config", "none.csv", *flags]) == 1
    told = capsys.readouterr().err
    assert "there is no none.csv" in told
    assert "--create-sample-config" in told


# --- addresses and settings ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("KRAKEN_SPOT_URL", "http://api.kraken.com", "is refused"),
        ("KRAKEN_SPOT_URL", "ftp://127.0.0.1", "is refused"),
        ("KRAKEN_SPOT_URL", "nonsense", "is refused"),
        ("KRAKEN_WS_PUBLIC_URL", "ws://ws.kraken.com/v2", "ws://ws.kraken.com/v2"),
        ("KRAKEN_WS_PUBLIC_URL", "nonsense", "nonsense"),
        ("TTSLO_ORDER_SETTINGS", "speed=1", "TTSLO_ORDER_SETTINGS: 'speed' is none of"),
        ("TTSLO_ORDER_SETTINGS", "watch", "such as watch=10"),
        ("TTSLO_ORDER_SETTINGS", "watch=0", "watch=0 is not positive"),
        ("TTSLO_ORDER_SETTINGS", "watch=soon", "soon"),
    ],
)
def test_bad_setting_of_the_environment_is_1_and_one_sentence(
    scene: Scene, name: str, value: str, words: str
) -> None:
    """An address or number that cannot be used is named, and nothing runs."""
    code, output = run(scene, "--once", **{name: value})
    assert code == 1, output
    assert_no_traceback(output)
    assert "Cannot run: " in output
    assert words in output
    assert scene.exchange.requests == []


# --- what it says first -----------------------------------------------------------------------


@pytest.mark.parametrize("flags", [["--once"], ["--once", "--dry-run"]])
def test_first_line_says_what_the_run_is(scene: Scene, flags: list[str]) -> None:
    """Mode, exchange and version stand before anything else, on the screen and in the log."""
    code, output = run(scene, *flags)
    assert code == 0, output
    first, second = output.splitlines()[:2]
    mode = "DRY RUN" if "--dry-run" in flags else "LIVE"
    assert f"  {mode} on {scene.exchange.rest_url} (not Kraken): " in first
    assert first.endswith(f"; ttslo {__version__}")
    assert "Files: config.csv" in second
    assert scene.logged("INFO").startswith(f"{mode} on ")


def test_first_line_says_whether_orders_can_be_placed(scene: Scene) -> None:
    """A trading key is there or it is not."""
    assert ": a trading key is set; " in run(scene, "--once")[1].splitlines()[0]
    assert ": NO trading key; " in run(scene, "--once", **WITHOUT_KEYS)[1].splitlines()[0]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("KRAKEN_API_KEY_RO", "Did you mean KRAKEN_API_KEY?"),
        ("TTSLO_DRYRUN", "Did you mean the flag --dry-run?"),
    ],
)
def test_name_that_is_no_setting_is_told(scene: Scene, name: str, meant: str) -> None:
    """A misspelt variable is named at the start with what was meant, and its value is not."""
    output = run(scene, "--once", **{name: "SECRET-VALUE"})[1]
    assert (
        f"WARNING: {name} is set, but no setting has that name: it is not used. {meant}" in output
    )
    assert "SECRET-VALUE" not in output


def test_misspelt_name_in_the_env_file_is_told(scene: Scene) -> None:
    """The .env file is where most people write their keys."""
    (scene.folder / ".env").write_text("KRAKEN_APIKEY=abc\n", encoding="utf-8")
    output = run(scene, "--once")[1]
    assert "KRAKEN_APIKEY is set, but no setting has that name" in output


def test_env_file_that_is_not_there_is_1(scene: Scene) -> None:
    """Keys that were looked for in vain do not look like keys that nobody gave."""
    code, output = run(scene, "--once", "--env-file", "nope.env")
    assert code == 1
    assert "there is no file nope.env, which --env-file names" in output
    assert scene.exchange.requests == []


# --- rows ------------------------------------------------------------------------------------


def test_no_accepted_row_is_1(scene: Scene) -> None:
    """A file of nothing but refused rows leaves nothing to watch, and says why."""
    scene.write_config([BAD])
    code, output = run(scene, "--once")
    assert code == 1
    assert "bad: refused: " in output
    assert "No row of config.csv is accepted; nothing to watch" in output


def test_one_accepted_row_is_enough(scene: Scene) -> None:
    """A refused row is told and stops no other."""
    scene.write_config([BAD, ROW])
    code, output = run(scene, "--once")
    assert code == 0
    assert "bad: refused: " in output
    assert "btc: armed: BTC/USD at or above 51000, now 50000" in output


def test_strict_wants_them_all(scene: Scene) -> None:
    """With --strict one refused row is enough to end with 1; without one it changes nothing."""
    assert run(scene, "--once", "--strict")[0] == 0
    scene.write_config([BAD, ROW])
    code, output = run(scene, "--once", "--strict")
    assert code == 1
    assert "--strict wants all of them accepted" in output


def test_all_rows_fired_is_a_program_that_runs(scene: Scene) -> None:
    """Nothing armed is no reason not to start: the orders are watched."""
    arm_then_cross(scene)
    assert run(scene, "--once")[0] == 0
    code, output = run(scene, "--once", "--strict")
    assert code == 0
    assert "btc: has fired: order " in output
    assert scene.exchange.placed_count() == 1


@pytest.mark.parametrize(
    ("rows", "code", "words"),
    [([ROW], 0, "VALIDATION PASSED"), ([BAD, ROW], 1, "VALIDATION FAILED")],
)
def test_validate_config_prints_and_ends(
    scene: Scene, rows: list[str], code: int, words: str
) -> None:
    """The check alone: a verdict, no state, no order, and keys are not needed."""
    scene.write_config(rows)
    found, output = run(scene, "--validate-config", "--verbose", **WITHOUT_KEYS)
    assert (found, words in output) == (code, True)
    assert not (scene.folder / "state.csv").exists()
    assert scene.sent == []


DIRTY = {
    "byte-order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "line ends of Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "semicolons": lambda text: text.replace(",", ";").encode(),
    "spaces in the header": lambda text: text.replace(",", " , ", 7).encode(),
    "upper case": lambda text: text.replace("id,pair", "ID,PAIR", 1).encode(),
    "short row": lambda text: (text + "short,BTC/USD\n").encode(),
    "long row": lambda text: (text + f"{FAR},,,,,,,more\n").encode(),
    "comments and blanks": lambda text: ("# mine\n\n" + text + "\n# end\n").encode(),
    "not a number": lambda text: (text + FAR.replace("90000", "NaN") + "\n").encode(),
    "the same id twice": lambda text: (text + f"{FAR}\n{FAR}\n").encode(),
    "Latin-1": lambda text: (text + "# Schöne Grüße\n").encode("latin-1"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "zero bytes": lambda text: (text + "\0\0\n").encode(),
    "open quote": lambda text: (text + 'x,"BTC/USD\n').encode(),
    "nothing at all": lambda text: b"",
    "garbage": lambda text: bytes(range(256)) * 4,
}


@pytest.mark.parametrize("dirt", DIRTY)
def test_dirty_config_is_no_traceback_and_loses_no_byte(scene: Scene, dirt: str) -> None:
    """Whatever is in the file, the program says what it makes of it and leaves it alone."""
    text = f"{HEADER}\n{ROW}\n"
    make: Callable[[str], bytes] = DIRTY[dirt]
    (scene.folder / "config.csv").write_bytes(make(text))
    code, output = run(scene, "--once")
    assert_no_traceback(output)
    assert code in (0, 1)
    assert output.strip()
    assert (code == 1) is ("nothing to watch" in output)
    assert (scene.folder / "config.csv").read_bytes() == make(text)


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"id\n",
        b"\xff\xfe\x00garbage",
        b"id,triggered\nbtc,perhaps\n",
        b"id,triggered,rule_state\nbtc,false,dancing\n",
        b"id,triggered,rule_state\nbtc,false,intended\n",
        b'id,triggered\n"btc,false\n',
        b"id,triggered\nbtc,false\nbtc,true\n",
    ],
)
def test_dirty_state_is_no_traceback(scene: Scene, state: bytes) -> None:
    """A state file that cannot be understood is said, and ends nothing the hard way."""
    (scene.folder / "state.csv").write_bytes(state)
    code, output = run(scene, "--once")
    assert_no_traceback(output)
    assert code == 0


def test_row_whose_past_cannot_be_read_does_not_trade(scene: Scene) -> None:
    """A row that may have fired is told of, and places nothing when it is crossed."""
    (scene.folder / "state.csv").write_bytes(b"id,triggered,rule_state\nbtc,false,dancing\n")
    code, output = run(scene, "--once")
    assert (code, "btc: does not trade: its past is unknown" in output) == (0, True)
    scene.cross()
    run(scene, "--once")
    assert scene.sent == []


# --- once, dry, without keys -----------------------------------------------------------------


def test_once_places_and_ends(scene: Scene) -> None:
    """One look, one order, both files name it, and the program is gone."""
    arm_then_cross(scene)
    code, output = run(scene, "--once")
    assert code == 0, output
    assert scene.is_written()
    assert scene.exchange.placed_count() == 1
    assert "armed before, and crossed meanwhile" in output


def test_once_without_any_price_is_1_and_says_so(scene: Scene) -> None:
    """A run that could not look at any row has not done what it was asked for."""
    scene.exchange.fault("http_502", endpoint="Ticker")
    code, output = run(scene, "--once")
    assert code == 1, output
    assert "No price was to be had" in output
    assert_no_traceback(output)


def test_start_sweeps_what_a_kill_left_of_a_write(scene: Scene) -> None:
    """A temporary file beside the state is gone after the next start, and stays in a dry run."""
    litter = scene.folder / f"state.csv.{'a' * 32}.tmp"
    litter.touch()
    run(scene, "--once", "--dry-run")
    assert litter.exists()
    run(scene, "--once")
    assert not litter.exists()


def test_once_settles_an_order_of_unknown_outcome(scene: Scene) -> None:
    """A lost answer is looked up before the program ends."""
    arm_then_cross(scene)
    scene.exchange.fault("lost_reply", endpoint="AddOrder", count=1)
    code, output = run(scene, "--once")
    assert code == 0, output
    assert "UNCERTAIN" in output
    assert scene.is_written()
    assert scene.exchange.placed_count() == 1


@pytest.mark.parametrize("flags", [["--once"], ["--once", "--no-websocket"]])
def test_dry_run_needs_no_keys_and_changes_no_file(scene: Scene, flags: list[str]) -> None:
    """A dry run that fires shows it, and leaves the folder as it was, but for the log."""
    arm_then_cross(scene)
    before = files_of(scene.folder)
    code, output = run(scene, "--dry-run", *flags, **WITHOUT_KEYS)
    after = files_of(scene.folder)
    assert code == 0, output
    assert f"DRY RUN on {scene.exchange.rest_url} (not Kraken): no order is placed" in output
    assert "Files: config.csv and state.csv are read; logs.csv alone is written" in output
    assert "DRY_RUN_ORDER_ID" in output
    assert {k: v for k, v in after.items() if k != "logs.csv"} == {
        k: v for k, v in before.items() if k != "logs.csv"
    }
    assert scene.sent == []


def test_dry_run_creates_no_state(scene: Scene) -> None:
    """In a fresh folder nothing but the log comes into being."""
    assert run(scene, "--dry-run", "--once", **WITHOUT_KEYS)[0] == 0
    assert set(files_of(scene.folder)) == {"config.csv", "logs.csv"}


def test_without_a_trading_key_it_says_that_it_cannot_place(scene: Scene) -> None:
    """It watches, and says so at the start and again when a threshold is crossed."""
    no_trading = {"KRAKEN_API_KEY_RW": "", "KRAKEN_API_SECRET_RW": ""}
    code, output = run(scene, "--once", **no_trading)
    assert code == 0
    assert "No trading key: the program watches, but CANNOT PLACE ORDERS" in output
    scene.cross()
    code, output = run(scene, "--once", **no_trading)
    assert code == 0
    assert "no order could be placed: no trading key" in output
    assert scene.sent == []


def test_other_names_of_the_files_are_kept_to(scene: Scene) -> None:
    """--config, --state and --log name the files, and no others are touched."""
    (scene.folder / "config.csv").rename(scene.folder / "my.rules")
    flags = ["--config", "my.rules", "--state", "my.state", "--log", "my.log", "--once"]
    assert run(scene, *flags)[0] == 0
    found = {name.split(".tape")[0] for name in files_of(scene.folder)}
    locks = {"my.rules.lock", "my.state.lock"}
    assert found - locks == {"my.rules", "my.state", "my.log"}


def test_details_are_shown_to_who_asks(scene: Scene) -> None:
    """--debug shows more than --verbose, and that more than nothing."""
    plain, verbose, debug = (
        len(run(scene, "--once", *flags)[1].splitlines())
        for flags in ([], ["--verbose"], ["--debug"])
    )
    assert plain <= verbose < debug


def test_log_has_its_columns(scene: Scene) -> None:
    """What is printed is in logs.csv, too: time, level, message, details."""
    run(scene, "--once")
    with (scene.folder / "logs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["timestamp", "level", "message", "details"]
    assert {len(row) for row in rows} == {4}
    assert "btc: armed: " in scene.logged("INFO")


# --- keys ------------------------------------------------------------------------------------


def test_keys_of_an_env_file_place_the_order(scene: Scene) -> None:
    """--env-file is where the keys are looked for when the environment has none."""
    exchange = scene.exchange
    arm_then_cross(scene)
    (scene.folder / "my.env").write_text(
        f"KRAKEN_API_KEY={READ_KEY}\nKRAKEN_API_SECRET={READ_SECRET}\n"
        f"export KRAKEN_API_KEY_RW='{exchange.api_key}'\n"
        f'KRAKEN_API_SECRET_RW="{exchange.api_secret}"\n',
        encoding="utf-8",
    )
    env = {k: v for k, v in environment_for(exchange).items() if k not in KEYS}
    with ProgramProcess(scene.folder, env, ["--once", "--env-file", "my.env"]) as program:
        assert program.wait() == 0, program.output
    assert exchange.placed_count() == 1


@pytest.mark.parametrize("error", [None, "EAPI:Invalid key", "EAPI:Invalid signature"])
def test_no_secret_is_ever_shown(scene: Scene, error: str | None) -> None:
    """Neither a key nor a secret is in the output, the log or any other file, also on errors."""
    arm_then_cross(scene)
    if error:
        scene.exchange.fault("error", endpoint="AddOrder", text=error)
    code, output = run(scene, "--once", "--debug")
    assert code == 0, output
    everything = output.encode() + b"".join(files_of(scene.folder).values())
    secrets = (READ_KEY, READ_SECRET, scene.exchange.api_key, scene.exchange.api_secret)
    assert [text for text in secrets if text.encode() in everything] == []
    assert b"API-Sign" not in everything


# --- the end ---------------------------------------------------------------------------------

# Windows knows no signal that asks another process to end; there Ctrl-C reaches the whole console.
SIGNALS = [] if os.name == "nt" else [signal.SIGTERM, signal.SIGINT]


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("flags", [[], ["--no-websocket"], ["--dry-run"]])
def test_signal_ends_a_running_program_cleanly(
    scene: Scene, number: signal.Signals, flags: list[str]
) -> None:
    """Ctrl-C and SIGTERM end it with 0 and its last word, with the state saved and let go of."""
    scene.write_config([ROW, OTHER])
    with scene.run(*flags) as program:
        program.wait_for("eth: armed: ")
        if not flags:
            scene.wait_for_stream(program)
        assert program.end(number) == 0, program.output
        assert_no_traceback(program.output)
        is_dry = flags == ["--dry-run"]
        assert ("Stopped" if is_dry else "Stopped; state saved") in program.output
    assert bool(scene.state()) is (flags != ["--dry-run"])
    assert not (scene.folder / "state.csv.lock.json").exists()


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_while_starting_ends_with_0(scene: Scene, number: signal.Signals) -> None:
    """A program that still waits for its first answer from Kraken can be ended, too."""
    scene.exchange.fault("black_hole", endpoint="AssetPairs")
    scene.exchange.fault("black_hole", endpoint="Ticker")
    with scene.run() as program:
        assert scene.exchange.wait_for(lambda e: len(e.requests) > 0)
        assert program.end(number) == 0, program.output
        assert_no_traceback(program.output)
        assert "Stopped" in program.output


@pytest.mark.skipif(not SIGNALS, reason="no terminal hangs up there")
@pytest.mark.parametrize("is_starting", [False, True])
def test_closed_terminal_leaves_a_last_word_in_the_log(scene: Scene, is_starting: bool) -> None:
    """Exit code 129; a program that ran has saved its state, and one that started says so."""
    if is_starting:
        scene.exchange.fault("black_hole", endpoint="AssetPairs")
        scene.exchange.fault("black_hole", endpoint="Ticker")
    with scene.run(plan={"quiet": True}) as program:
        if is_starting:
            assert scene.exchange.wait_for(lambda e: len(e.requests) > 0)
        else:
            scene.wait_for_stream(program)
        assert program.end(signal.SIGHUP) == 129, program.output
    end = "before it watched anything" if is_starting else "; state saved"
    assert scene.logged("INFO").splitlines()[-1].startswith("Stopped by the end of its terminal")
    assert scene.logged("INFO").splitlines()[-1].endswith(end)


@pytest.mark.skipif(not SIGNALS, reason="no signal asks another process to end there")
def test_second_ctrl_c_ends_at_once_with_a_last_word(scene: Scene) -> None:
    """While an order waits for its answer, too; the log and the screen have the word."""
    with scene.run(plan={"quiet": True}) as program:
        scene.wait_for_stream(program)
        scene.break_next_order({"name": "delayed_reply", "seconds": 10.0})
        scene.cross()
        assert scene.exchange.wait_for(lambda e: e.placed_count() == 1)
        program.send(signal.SIGINT)
        happened = threading.Event()
        happened.wait(0.5)
        program.send(signal.SIGINT)
        assert program.wait() == -signal.SIGINT, program.output
        assert "Ended at once by a second SIGINT. An order under way is written down" in (
            program.output
        )
    assert "Ended at once by a second SIGINT" in scene.logged("WARNING")


def test_start_that_waits_says_for_what(scene: Scene) -> None:
    """Silence of a swallowed request is explained within two seconds."""
    scene.exchange.fault("black_hole", endpoint="AssetPairs")
    scene.exchange.fault("black_hole", endpoint="Ticker")
    with scene.run(plan={"quiet": True}) as program:
        program.wait_for(f"Waiting for an answer from {scene.exchange.rest_url} (not Kraken)")


@pytest.mark.skipif(not SIGNALS, reason="no signal asks another process to end there")
def test_ctrl_c_that_is_ignored_at_the_start_stays_ignored(scene: Scene) -> None:
    """A background job of a shell goes on when Ctrl-C ends what runs in the foreground."""
    slow = scene.exchange.fault("delayed_reply", endpoint="Ticker", seconds=1.0)
    with scene.run(plan={"quiet": True, "deaf": True}) as program:
        assert scene.exchange.wait_for(lambda e: len(e.requests) > 0)
        program.send(signal.SIGINT)  # while it starts
        slow.clear()
        scene.wait_for_stream(program)
        program.send(signal.SIGINT)  # and while it runs
        scene.cross()
        scene.wait_for_files(program)
        assert program.end(signal.SIGTERM) == 0, program.output
        assert "Stopped; state saved" in program.output


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_while_an_order_is_under_way_waits_for_its_answer(
    scene: Scene, number: signal.Signals
) -> None:
    """The answer that comes a moment later is taken in before the program ends."""
    with scene.run() as program:
        scene.wait_for_stream(program)
        scene.break_next_order({"name": "delayed_reply", "seconds": 1.0})
        scene.cross()
        assert scene.exchange.wait_for(lambda e: e.placed_count() == 1)
        assert program.end(number) == 0, program.output
        assert "order O" in program.output
    assert scene.is_written()


def test_order_without_an_answer_is_left_to_the_next_start(scene: Scene) -> None:
    """After five seconds the program ends all the same, says so, and the next one settles it."""
    with scene.run() as program:
        scene.wait_for_stream(program)
        scene.break_next_order({"name": "delayed_reply", "seconds": 14.0})
        scene.cross()
        assert scene.exchange.wait_for(lambda e: e.placed_count() == 1)
        assert program.end() == 0, program.output
        said = "An order is still without an answer; the next start finds out what became of it"
        assert said in program.output or os.name == "nt"
        assert "Stopped, and state.csv is not up to date" in program.output or os.name == "nt"
    assert scene.state()["rule_state"] == "intended"
    assert run(scene, "--once")[0] == 0
    assert scene.is_written()
    assert scene.exchange.placed_count() == 1


def test_second_copy_is_1_and_says_who_runs(scene: Scene) -> None:
    """One state file, one program; a dry run beside it is welcome."""
    with scene.run() as program:
        program.wait_for("btc: armed: ")
        code, output = run(scene, "--once")
        assert code == 1
        assert "Cannot run: state.csv is in use by " in output
        assert f"{program.pid}" in output
        assert run(scene, "--once", "--dry-run")[0] == 0


# --- a run over REST alone -------------------------------------------------------------------


def test_without_websocket_a_crossing_is_polled(scene: Scene) -> None:
    """--no-websocket opens no stream, and the crossing fires at the next look."""
    with scene.run("--no-websocket", "--interval", "0.2") as program:
        program.wait_for("btc: armed: ")
        scene.exchange.set_price(PAIR, "51001")
        scene.wait_for_files(program)
        assert program.end() == 0
    assert scene.exchange.ws_connections_made == 0
    assert scene.exchange.placed_count() == 1


# --- Kraken's pace -----------------------------------------------------------------------------


def test_more_crossings_than_kraken_takes_at_once_are_all_placed_in_their_order(
    tmp_path: Path,
) -> None:
    """Orders beyond Kraken's pace wait in line, though the price has gone back, and are told of."""
    names = [f"r{number}" for number in range(7)]
    rows = [ROW.replace("btc", name, 1) for name in names]
    with FakeKraken(order_pace=(3, 1.0)) as exchange:
        scene = Scene(exchange, tmp_path, rows)
        with scene.run() as program:
            scene.wait_for_stream(program)
            scene.cross()
            scene.fall_back()
            for name in names:
                scene.wait_for_files(program, name)
            assert program.end() == 0
        placed = [scene.state(name)["order_id"] for name in names]
        assert placed == [order["txid"] for order in exchange.orders]
        assert "waits in line" in program.output
