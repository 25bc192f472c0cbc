"""Every way to end: signals, a closed terminal, an order under way, a second copy."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from tests.kits.program.program_process import (
    ROW,
    Scene,
    assert_no_traceback,
    run,
    scene,
)

__all__ = ["scene"]

OTHER = "eth,ETH/USD,100,below,sell,0.1,1.25,true"


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
