"""What callers of earlier versions rely on: files, validation, keys, flags.

Each test is written as a caller would write it, by the doors alone. What stands here never changes.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import creds
from config import ConfigManager
from tests.kits.program.contract_kit import COLUMNS, ROW, rows_of, stand_in, write
from validator import ConfigValidator, ValidationResult, format_validation_result

ROOT = Path(__file__).resolve().parents[3]
STATE_COLUMNS = [
    *("id", "triggered", "trigger_price", "trigger_time", "order_id", "activated_on"),
    "last_checked",
]

# --- the files -------------------------------------------------------------------------------


def test_rows_are_dicts_of_text_without_comments_and_blanks() -> None:
    """A missing file is no row."""
    assert ConfigManager().load_config() == []
    comment, off = {**ROW, "id": "# note"}, {**ROW, "id": "x", "pair": "#XBTUSD"}
    manager = write(comment, dict.fromkeys(COLUMNS, ""), ROW, off)
    assert manager.load_config() == [ROW]


def test_state_is_saved_and_loaded_by_id() -> None:
    """Seven columns, more may follow; an empty state writes nothing."""
    manager = ConfigManager()
    assert manager.load_state() == {}
    manager.save_state({})
    assert not Path("state.csv").exists()
    manager.save_state({"test1": {"id": "test1", "triggered": "true", "order_id": "O1"}})
    assert list(rows_of("state.csv")[0])[: len(STATE_COLUMNS)] == STATE_COLUMNS
    loaded = ConfigManager().load_state()["test1"]
    assert (loaded["triggered"], loaded["order_id"]) == ("true", "O1")


def test_state_of_a_later_version_is_read() -> None:
    """Columns that this version does not know do no harm."""
    head = ",".join([*STATE_COLUMNS, "offset", "initial_price"])
    Path("state.csv").write_text(f"{head}\ntest1,true,51000,,O1,,,5.0,50000\n", encoding="utf-8")
    assert ConfigManager().load_state()["test1"]["order_id"] == "O1"


def test_empty_state_file_is_its_header() -> None:
    """`initialize_state_file` makes one."""
    ConfigManager().initialize_state_file()
    header = Path("state.csv").read_text(encoding="utf-8").strip().split(",")
    assert header[: len(STATE_COLUMNS)] == STATE_COLUMNS


def test_log_has_timestamp_level_message_and_details() -> None:
    """In this order."""
    ConfigManager().log("INFO", "a message", pair="XBTUSD", price=50000)
    (row,) = rows_of("logs.csv")
    assert list(row)[:3] == ["timestamp", "level", "message"]
    assert (row["level"], row["message"]) == ("INFO", "a message")
    assert "XBTUSD" in ",".join(row.values())


def test_sample_is_a_config_with_the_columns() -> None:
    """Under its own name, or under any other."""
    ConfigManager().create_sample_config()
    ConfigManager().create_sample_config("other.csv")
    for name in ("config_sample.csv", "other.csv"):
        assert list(ConfigManager(name).load_config()[0])[: len(COLUMNS)] == COLUMNS


def test_trigger_is_noted_in_its_row_alone() -> None:
    """Three columns are appended; the user's columns, comments and order stay."""
    other = {**ROW, "id": "test2", "note": "mine"}
    manager = write({**ROW, "note": "n"}, other, columns=[*COLUMNS, "note"])
    manager.update_config_on_trigger("test1", "O1", "2026-01-01T00:00:00+00:00", "51000")
    first, second = rows_of("config.csv")
    assert list(first) == [*COLUMNS, "note", "order_id", "trigger_time", "trigger_price"]
    assert (first["enabled"], first["order_id"], first["note"]) == ("false", "O1", "n")
    assert (first["trigger_time"], first["trigger_price"]) == ("2026-01-01T00:00:00+00:00", "51000")
    assert (second["enabled"], second["order_id"] or "", second["note"]) == ("true", "", "mine")


# --- the validator ---------------------------------------------------------------------------


def findings(row: dict[str, str], api: object = None) -> tuple[set[str], set[str]]:
    """Return the fields with errors and the fields with warnings."""
    result = ConfigValidator(api).validate_config_file([row])
    assert result.configs == [row]
    return {e["field"] for e in result.errors}, {w["field"] for w in result.warnings}


def test_lists_of_the_validator_are_on_its_class() -> None:
    """Callers read them; words of later versions are known."""
    assert list(ConfigValidator.REQUIRED_FIELDS) == COLUMNS[:-1]
    assert list(ConfigValidator.OPTIONAL_FIELDS) == ["enabled"]
    assert set(ConfigValidator.VALID_THRESHOLD_TYPES) == {"above", "below"}
    assert set(ConfigValidator.VALID_DIRECTIONS) == {"buy", "sell"}
    words = {"true", "false", "yes", "no", "1", "0", "paused", "canceled", "pending"}
    assert words <= set(ConfigValidator.VALID_ENABLED_VALUES)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((name, "") for name in COLUMNS[:-1]),
        *(("id", "a b"), ("id", "a.b"), ("pair", "NOSUCHPAIR"), ("threshold_type", "over")),
        *(("direction", "hold"), ("enabled", "maybe")),
        *((name, v) for name in ("threshold_price", "volume") for v in ("x", "0", "-1", "nan")),
        *(("trailing_offset_percent", value) for value in ("x", "0", "-5", "inf")),
    ],
)
def test_what_is_wrong_is_an_error_of_its_field(field: str, value: str) -> None:
    """Each row of the list of errors."""
    assert field in findings({**ROW, field: value})[0]


def test_row_that_misses_a_column_and_one_that_is_there_twice_are_errors() -> None:
    """A missing field has its name, a duplicate the field `id`."""
    short = {name: value for name, value in ROW.items() if name != "volume"}
    assert "volume" in findings(short)[0]
    result = ConfigValidator().validate_config_file([ROW, dict(ROW)])
    assert "id" in {error["field"] for error in result.errors}


@pytest.mark.parametrize(
    ("changes", "price", "is_error"),
    [
        ({}, 51000.0, True),
        ({}, 50000.0, True),
        ({"threshold_type": "below", "direction": "buy"}, 49000.0, True),
        ({}, 49000.0, True),  # a gap of 2 % under an offset of 5 %
        ({}, 40000.0, False),
    ],
)
def test_price_of_today_decides_about_the_threshold(
    changes: dict[str, str], price: float, is_error: bool
) -> None:
    """Already met, or nearer than the offset, is an error."""
    result = ConfigValidator(stand_in(price)).validate_config_file([{**ROW, **changes}])
    assert (not result.is_valid()) is is_error


@pytest.mark.parametrize(
    ("changes", "price"),
    [
        ({"direction": "buy"}, None),
        ({"threshold_type": "below"}, None),
        *(({"trailing_offset_percent": v}, None) for v in ("0.05", "21", "51")),
        *(({"volume": v}, None) for v in ("0.0000001", "1000000000")),
        *(({"threshold_price": v}, None) for v in ("0.0000001", "1000000000000")),
        ({}, 46500.0),  # a gap of 7 % with an offset of 5 %
    ],
)
def test_what_is_seldom_meant_is_a_warning(changes: dict[str, str], price: float | None) -> None:
    """Such a row is valid."""
    api = None if price is None else stand_in(price)
    result = ConfigValidator(api).validate_config_file([{**ROW, **changes}])
    assert (result.errors, result.has_warnings()) == ([], True)


@pytest.mark.parametrize(
    ("funds", "word", "shown"),
    [
        ({"XXBT": "0.5", "XBT.F": "0.25"}, "sufficient", "0.75000000"),
        ({"XXBT": "0.0000000000", "XBT.F": "0.0106906064"}, "sufficient", "0.0106906064"),
        ({"XXBT": "0.004", "XBT.F": "0.001"}, "insufficient", "0.00500000"),
    ],
)
def test_funds_of_a_sell_are_told(funds: dict[str, str], word: str, shown: str) -> None:
    """Spot and `.F` are summed, never rounded up, and never make a row invalid."""
    api = stand_in()
    api.get_balance.return_value = funds
    result = ConfigValidator(api).validate_config_file([ROW])
    told = {w["field"]: w["message"] for w in result.warnings}
    assert result.is_valid()
    assert word in told["balance"].lower().split() or f" {word}" in told["balance"].lower()
    assert re.search(rf"\b{shown}\b", told["balance"])
    assert told.get("volume", "").startswith("Insufficient") is (word == "insufficient")
    assert "0.01069061" not in told["balance"]


def test_findings_are_dicts_and_the_text_has_its_verdict() -> None:
    """Four keys, two verdicts, and each row in the summary."""
    result = ValidationResult()
    result.configs = [ROW]
    result.add_warning("test1", "volume", "is small")
    assert "VALIDATION PASSED" in format_validation_result(result)
    result.add_error("test1", "pair", "is unknown")
    (error,), (warning,) = result.errors, result.warnings
    assert set(error) == set(warning) == {"config_id", "field", "message", "type"}
    text = format_validation_result(result, verbose=True)
    for words in ("VALIDATION FAILED", "is unknown", "is small", "test1"):
        assert words in text
    assert (result.is_valid(), result.has_warnings()) == (False, True)


# --- keys ------------------------------------------------------------------------------------

OTHER_NAMES = [
    ("KRAKEN_API_KEY", ["COPILOT_W_KR_RO_PUBLIC", "COPILOT_W_KR_PUBLIC"]),
    ("KRAKEN_API_SECRET", ["COPILOT_W_KR_RO_SECRET", "COPILOT_W_KR_SECRET"]),
    ("KRAKEN_API_KEY_RW", ["COPILOT_W_KR_RW_PUBLIC", "COPILOT_W_KR_RW_KEY"]),
    ("KRAKEN_API_SECRET_RW", ["COPILOT_W_KR_RW_SECRET", "COPILOT_W_KR_RW_SECRET_KEY"]),
]


@pytest.mark.parametrize(("name", "others"), OTHER_NAMES)
def test_key_has_its_name_and_three_others(
    name: str, others: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exact name wins, then `copilot_<name>`, then the rest in their order."""
    place = (name.endswith("_RW"), 0 if "KEY" in name else 1)
    for candidate in reversed([name, f"copilot_{name}", *others]):
        monkeypatch.setenv(candidate, f"of {candidate}")
        assert creds.get_env_var(name) == f"of {candidate}"
        assert creds.find_kraken_credentials(readwrite=place[0])[place[1]] == f"of {candidate}"


def test_environment_wins_over_the_env_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """And `load_env` overrides nothing."""
    Path(".env").write_text("KRAKEN_API_KEY=file\nKRAKEN_API_SECRET=file\n", encoding="utf-8")
    assert creds.find_kraken_credentials() == ("file", "file")
    monkeypatch.setenv("KRAKEN_API_KEY", "environment")
    monkeypatch.setenv("KRAKEN_API_SECRET", "")
    assert creds.find_kraken_credentials() == ("environment", "file")
    monkeypatch.delenv("KRAKEN_API_SECRET")
    creds.load_env()
    assert os.environ["KRAKEN_API_KEY"] == "environment"
    assert os.environ.pop("KRAKEN_API_SECRET") == "file"
    assert creds.find_kraken_credentials(readwrite=True) == (None, None)


# --- the command -----------------------------------------------------------------------------


def command(*flags: str) -> subprocess.CompletedProcess[str]:
    """Run `ttslo.py` in the working folder."""
    return subprocess.run(
        [sys.executable, str(ROOT / "ttslo.py"), *flags],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_flags_of_the_command_are_all_there() -> None:
    """Their names, and 60 seconds for `--interval`."""
    said = " ".join(command("--help").stdout.split())
    for flag in (
        *("--config", "--state", "--log", "--dry-run", "--verbose", "--once", "--interval"),
        *("--create-sample-config", "--validate-config", "--env-file", "--debug"),
    ):
        assert f"{flag} " in said
    assert "60" in said


def test_exit_codes_are_0_1_and_2() -> None:
    """Done or valid; cannot run; a bad flag."""
    assert command("--create-sample-config").returncode == 0
    assert Path("config_sample.csv").exists()
    assert command("--config", "nowhere.csv", "--once").returncode == 1
    assert command("--no-such-flag").returncode == 2
