"""Rows and files that the program is started with: which of them trade, what dirt costs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.kits.program.program_process import (
    HEADER,
    ROW,
    WITHOUT_KEYS,
    Scene,
    arm_then_cross,
    assert_no_traceback,
    run,
    scene,
)

__all__ = ["scene"]

BAD = "bad,BTC/USD,fifty,above,sell,0.01,0.5,true"
FAR = "far,BTC/USD,90000,above,sell,0.01,0.5,true"


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
