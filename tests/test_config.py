"""The door to the files: what earlier callers of `config` rely upon."""

import csv
import inspect
from datetime import datetime
from pathlib import Path

import pytest

import config
from config import AlreadyRunning, ConfigManager, StateLock
from tests.kits.common.fresh_python import run_python

HEADER = "id,pair,threshold_price,threshold_type,direction,volume,trailing_offset_percent,enabled"
ROW = "btc,XBTUSD,50000,above,sell,0.01,5.0,true"


@pytest.fixture
def files(tmp_path: Path) -> ConfigManager:
    """A manager of three files that are not there yet."""
    names = (str(tmp_path / name) for name in ("config.csv", "state.csv", "logs.csv"))
    return ConfigManager(*names)


def rows_of(file: str | Path) -> list[dict[str, str]]:
    """Return the rows of a file as Python's own reader sees them."""
    with Path(file).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def write_config(files: ConfigManager, *lines: str) -> None:
    """Write the rules' file."""
    Path(files.config_file).write_text("\n".join([*lines, ""]), encoding="utf-8")


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("__init__", ["config_file", "state_file", "log_file"]),
        ("load_config", []),
        ("load_state", []),
        ("save_state", ["state"]),
        ("log", ["level", "message", "fields"]),
        ("create_sample_config", ["filename"]),
        ("initialize_state_file", []),
        (
            "update_config_on_trigger",
            ["config_id", "order_id", "trigger_time", "trigger_price"],
        ),
    ],
)
def test_call_takes_what_it_always_took(method: str, parameters: list[str]) -> None:
    """Names and order of the arguments are the contract's; what is new has a keyword."""
    found = inspect.signature(getattr(ConfigManager, method)).parameters.values()
    assert [p.name for p in found if p.kind is not p.KEYWORD_ONLY][1:] == parameters


def test_manager_has_the_names_of_the_working_folder_by_default() -> None:
    """Without arguments it is the three files of the folder it runs in."""
    files = ConfigManager()
    assert files.config_file == "config.csv"
    assert files.state_file == "state.csv"
    assert files.log_file == "logs.csv"


def test_config_is_a_list_of_dicts_of_text(files: ConfigManager) -> None:
    """Blank rows and rows whose id or pair begins with # are left out; no file is no row."""
    assert files.load_config() == []
    write_config(files, HEADER, "# a note", ROW, ",,,,,,,", "#off,XBTUSD", "x,#XBTUSD")
    (row,) = files.load_config()
    assert isinstance(row, dict)
    assert row == dict(zip(HEADER.split(","), ROW.split(","), strict=True))


def test_state_is_a_dict_by_id(files: ConfigManager) -> None:
    """What is saved is loaded, an empty state does nothing, and no file is no state."""
    assert files.load_state() == {}
    files.save_state({})
    assert not Path(files.state_file).exists()
    files.save_state({"btc": {"triggered": "true", "order_id": "O1", "trigger_price": 50001}})
    assert files.load_state()["btc"]["trigger_price"] == "50001"
    (row,) = rows_of(Path(files.state_file))
    assert list(row) == [
        *("id", "triggered", "trigger_price", "trigger_time"),
        *("order_id", "activated_on", "last_checked"),
    ]
    assert row["triggered"] == "true"


def test_state_file_begins_with_its_header(files: ConfigManager) -> None:
    """The header is written where there is no file; one that is there stays."""
    files.initialize_state_file()
    header = "id,triggered,trigger_price,trigger_time,order_id,activated_on,last_checked\n"
    assert Path(files.state_file).read_text() == header
    Path(files.state_file).write_text("mine")
    files.initialize_state_file()
    assert Path(files.state_file).read_text() == "mine"


def test_trigger_disarms_its_row_and_appends_three_columns(files: ConfigManager) -> None:
    """The user's own columns, comments and order stay; a row that is not there is no error."""
    write_config(files, f"{HEADER},note", "# mine", f"{ROW},keep", ROW.replace("btc", "eth") + ",")
    files.update_config_on_trigger("btc", "O1", "2026-11-23T12:00:00+00:00", 50001)
    files.update_config_on_trigger("nobody", "O2", "", "")
    text = Path(files.config_file).read_text().splitlines()
    assert text == [
        f"{HEADER},note,order_id,trigger_time,trigger_price",
        "# mine",
        f"{ROW.replace('true', 'false')},keep,O1,2026-11-23T12:00:00+00:00,50001",
        ROW.replace("btc", "eth") + ",",
    ]


def test_log_has_four_columns(files: ConfigManager) -> None:
    """Fields of one's own stand in the fourth; the first is a time in UTC."""
    files.log("ERROR", "it happened", pair="XBTUSD", price=50001)
    (row,) = rows_of(Path(files.log_file))
    moment = datetime.fromisoformat(row.pop("timestamp"))
    assert moment.utcoffset() is not None
    assert row == {"level": "ERROR", "message": "it happened", "details": "pair=XBTUSD price=50001"}


def test_sample_is_a_config_that_arms_nothing(files: ConfigManager) -> None:
    """The sample has the contract's columns and name, and replaces nobody's file."""
    files.create_sample_config()
    sample = ConfigManager("config_sample.csv").load_config()
    assert list(sample[0]) == HEADER.split(",")
    assert {row["enabled"] for row in sample} == {"false"}
    with pytest.raises(FileExistsError):
        files.create_sample_config("config_sample.csv")


def test_second_program_on_a_state_learns_of_the_first(files: ConfigManager) -> None:
    """Whoever runs the program as part of another one takes the same lock."""
    with (
        StateLock(files.state_file),
        pytest.raises(AlreadyRunning, match="in use by process"),
        StateLock(files.state_file),
    ):
        pass


def test_door_hands_on_what_its_callers_need_and_no_more() -> None:
    """What lies behind it is imported from where it lives."""
    assert set(config.__all__) == {"AlreadyRunning", "ConfigManager", "StateLock"}


def test_warning_is_not_printed_to_who_asked_for_none(tmp_path: Path) -> None:
    """A caller that has not set up logging finds nothing of it on its screen."""
    file = str(tmp_path / "config.csv")
    call = f"ConfigManager({file!r}).update_config_on_trigger('a', '', '', '')"
    assert run_python(f"from config import ConfigManager; {call}") == ""
