"""The command line: every flag and every exit code, as a process of its own."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from config import ConfigManager
from fake_kraken import FakeKraken
from tests.kits.program.program_process import (
    KEYS,
    PAIR,
    READ_KEY,
    READ_SECRET,
    ROW,
    SETTINGS,
    WITHOUT_KEYS,
    ProgramProcess,
    Scene,
    arm_then_cross,
    assert_no_traceback,
    environment_for,
    run,
    scene,
)
from ttslo import __version__, main

__all__ = ["scene"]


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
    """Orders beyond Kraken's pace wait in line, though the price has gone back, and are told of.

    None is late for its deadline, however slow this machine is: others pass who is looked up.
    """
    patient = SETTINGS.replace("deadline=5.0", "deadline=50.0")
    names = [f"r{number}" for number in range(7)]
    rows = [ROW.replace("btc", name, 1) for name in names]
    with FakeKraken(order_pace=(3, 1.0)) as exchange:
        scene = Scene(exchange, tmp_path, rows)
        with scene.run(TTSLO_ORDER_SETTINGS=patient) as program:
            scene.wait_for_stream(program)
            scene.cross()
            scene.fall_back()
            for name in names:
                scene.wait_for_files(program, name)
            assert program.end() == 0
        placed = [scene.state(name)["order_id"] for name in names]
        assert placed == [order["txid"] for order in exchange.orders]
        assert "waits in line" in program.output
