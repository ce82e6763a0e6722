"""What a command says of each exception, and the exit code that it ends with."""

import subprocess
import sys

import pytest

from rocket_tf import errors
from rocket_tf.errors import RocketError
from rocket_tf.system.answering import answer, complain

SUBCLASSES = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, RocketError)
}
NAMED = {
    "ConfigError": (2, "what"),
    "Preempted": (
        143,
        "SIGTERM: saved after what; the same command goes on from there",
    ),
    "WorkerLostError": (138, "what; the same commands go on from the last checkpoint"),
    "CheckFailed": (1, "failed: what"),
}


def raising(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize("name", SUBCLASSES)
def test_an_error_of_the_project_is_one_line_with_its_own_code(name, capsys):
    kind = SUBCLASSES[name]
    error = kind("what", 3) if name == "LoaderError" else kind("what")
    code, line = NAMED.get(name, (1, "what"))
    assert answer("export", raising(error)) == code
    assert capsys.readouterr() == ("", f"export: {line}\n")


def test_messages_with_braces_are_taken_as_they_are(capsys):
    answer("train", raising(errors.WorkerLostError("{0} of {}")))
    assert capsys.readouterr().err.startswith("train: {0} of {}; the same")


def test_the_systems_errors(capsys):
    assert answer("report", raising(PermissionError(13, "Permission denied", "x.html"))) == 1
    assert capsys.readouterr().err == "report: [Errno 13] Permission denied: 'x.html'\n"


def test_an_interruption_says_how_to_go_on(capsys):
    assert answer("latency", raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "latency: interrupted; nothing is written\n"
    assert answer("reproduce", raising(KeyboardInterrupt()), "the same command goes on") == 130
    assert capsys.readouterr().err == "reproduce: interrupted; the same command goes on\n"


@pytest.mark.parametrize("error", [ValueError, RuntimeError, KeyError])
def test_a_bug_keeps_its_traceback(error):
    with pytest.raises(error):
        answer("export", raising(error("bug")))


def test_the_exit_code_is_the_works():
    assert [answer("x", lambda code=code: code) for code in (None, 0, 1, 3)] == [0, 0, 1, 3]


def test_a_line_has_no_control_characters(capsys):
    complain("export", "one\ntwo\x1b[31m\udc80 \t three")
    assert capsys.readouterr().err == "export: one two\\x1b[31m\\udc80 three\n"


def test_a_closed_pipe_prints_nothing():
    """As `| head` leaves a command."""
    script = """
import sys
from rocket_tf.system.answering import answer
def work():
    for _ in range(100_000):
        print("line")
sys.exit(answer("predict", work))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'rocket-tf'" + script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.wait() == 1
    assert process.stderr.read() == b""
    process.stderr.close()
