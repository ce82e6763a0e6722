"""Progress of large reads and writes: a line, or a bar on a terminal."""

import contextlib
import os
import pty
import subprocess
import sys
import termios
import textwrap

import pytest
import tensorflow as tf

from rocket_tf.system.transfers import LARGE, shown, size_of


def test_a_line_for_large_tables(capsys):
    with shown("Saving a", LARGE - 1):
        pass
    assert capsys.readouterr().out == ""
    with shown("Saving b", 3_200_000_000):
        assert capsys.readouterr().out == "Saving b (3.2 GB)\n"


@pytest.mark.parametrize("dtype, size", [("float32", 4), ("float64", 8), ("int32", 4)])
def test_bytes_of_a_variable(dtype, size):
    assert size_of(tf.Variable(tf.zeros((5, 3), dtype))) == 15 * size
    assert size_of(tf.Variable(tf.zeros((), dtype))) == size


@pytest.mark.parametrize("can_tell", [True, False])
def test_a_bar_on_a_terminal(can_tell):
    """It grows with what is done, lives through a file that vanishes, and ends with the block."""
    script = """
        import sys, time
        sys.orig_argv = ["python", "-m", "rocket_tf.main"]  # without TensorFlow
        from rocket_tf.system import transfers
        transfers._SECONDS = 0.01
        states = iter([0.25, OSError(), 0.5, 0.5])
        def done():
            state = next(states, 1.5)
            if isinstance(state, OSError):
                raise state
            return state * 4e9
        with transfers.shown("Saving c", int(4e9), done if sys.argv[1] == "True" else None):
            time.sleep(0.5)
        print("after")
    """
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 100))
    arguments = [sys.executable, "-c", textwrap.dedent(script), str(can_tell)]
    result = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=slave, check=True, text=True)
    os.close(slave)
    shown_bytes = b""
    with contextlib.suppress(OSError):  # this ends a terminal's output
        while part := os.read(master, 10_000):
            shown_bytes += part
    os.close(master)
    shown_text = shown_bytes.decode()
    assert result.stdout == "after\n"
    assert "Saving c (4.0 GB)" in shown_text
    assert "Error" not in shown_text
    shares = [share in shown_text for share in (" 25 %", " 50 %", "100 %", "150 %")]
    assert shares == [can_tell, can_tell, can_tell, False]
