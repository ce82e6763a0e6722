"""The command as a process: messages, exit codes, and a kill in the middle of a run."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.in_process import run_here
from tests.small_runs import SMALL, ended_by_sigterm, metrics, newest_checkpoint, state

ROOT = Path(__file__).parents[1]
SMALL_RUN = ["--config=configs/digits.py"] + [
    f"--config.{name}={value}" for name, value in SMALL.items()
]


def command(*arguments):
    return [sys.executable, "-m", "rocket_tf.main", *arguments]


def run(*arguments):
    return subprocess.run(command(*arguments), capture_output=True, text=True, cwd=ROOT)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("main") / "run"
    return workdir, run(*SMALL_RUN, f"--workdir={workdir}")


def test_a_run_ends_with_a_table_and_without_warnings(finished):
    workdir, result = finished
    assert result.returncode == 0
    assert result.stderr == ""
    for text in ("epoch 3/3", "light ", "booster ", "parameters", "multiply-adds"):
        assert text in result.stdout
    assert f"the light net was exported to {workdir}/light/1" in result.stdout
    assert "next: " in result.stdout


def test_a_finished_run_says_so_and_exits_0(finished):
    workdir, first = finished
    result = run(*SMALL_RUN, f"--workdir={workdir}")
    assert result.returncode == 0
    assert f"The run in {workdir} is finished." in result.stdout
    assert first.stdout.splitlines()[-6:] == result.stdout.splitlines()[-6:]


@pytest.mark.slow
def test_evaluate_only(finished):
    workdir, first = finished
    result = run(f"--workdir={workdir}", "--evaluate_only")
    assert (result.returncode, result.stderr) == (0, "")
    assert first.stdout.splitlines()[-6:-2] == result.stdout.splitlines()[-6:-2]


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(finished, tmp_path):
    whole, _ = finished
    process = subprocess.Popen(
        command(*SMALL_RUN, f"--workdir={tmp_path}"),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(600):
        if (tmp_path / "metrics.jsonl").exists():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "summary.json").exists()
    assert run(*SMALL_RUN, f"--workdir={tmp_path}").returncode == 0
    assert state(tmp_path) == state(whole)
    assert metrics(tmp_path) == metrics(whole)


@pytest.mark.slow
def test_a_full_disk(finished, tmp_path):
    """A full disk is simulated: no file of the process may become as large as a checkpoint."""
    whole, _ = finished
    copy = shutil.copytree(whole, tmp_path / "copy")
    (copy / "summary.json").unlink()
    for path in (copy / "checkpoints").glob("epoch-3.*"):
        path.unlink()
    before = {path.name: path.read_bytes() for path in (copy / "checkpoints").iterdir()}
    limit = min(len(content) for name, content in before.items() if ".data-" in name) // 2
    result = subprocess.run(
        command(*SMALL_RUN, f"--workdir={copy}"),
        capture_output=True,
        text=True,
        cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"rocket_tf: {copy}/checkpoints/epoch-3: the checkpoint cannot be writ")
    assert line.endswith("unchanged: fix the cause, and start the same command again")
    assert {path.name: path.read_bytes() for path in (copy / "checkpoints").iterdir()} == before
    assert run(*SMALL_RUN, f"--workdir={copy}").returncode == 0
    assert state(copy) == state(whole)
    assert metrics(copy) == metrics(whole)


@pytest.mark.slow
def test_sigterm_saves_and_has_its_own_exit_code(tmp_path):
    code, errors = ended_by_sigterm(
        command(*SMALL_RUN, "--config.epochs=1000", f"--workdir={tmp_path}"),
        tmp_path,
    )
    assert code == 143
    (line,) = errors.splitlines()
    epoch, step = re.fullmatch(
        r"rocket_tf: SIGTERM: saved after (?:step \d+ \()?epoch (\d+)(?:, step (\d+)\))?; the same "
        r"command goes on from there",
        line,
    ).groups()
    newest = f"epoch-{int(epoch) - 1}-step-{step}" if step else f"epoch-{epoch}"
    assert newest_checkpoint(tmp_path / "checkpoints").name == newest


@pytest.mark.slow
def test_a_damaged_checkpoint_is_reported(finished, tmp_path):
    copy = shutil.copytree(finished[0], tmp_path / "copy")
    (copy / "summary.json").unlink()
    (copy / "checkpoints" / "epoch-3.data-00000-of-00001").write_bytes(b"damaged")
    result = run(*SMALL_RUN, f"--workdir={copy}")
    assert result.returncode == 0
    assert result.stderr.startswith("rocket_tf: Checkpoint") and result.stderr.count("\n") == 1
    assert "epoch 3/3" in result.stdout and "epoch 2/3" not in result.stdout


# One mistake of each kind runs in a real process: no argument, a file, a field, a text, a folder.
OF_PROCESSES = (
    "--config: missing",
    "--config: cannot be loaded (NameError)",
    "config.epochs: got 0",
    "config.hint: got 'a\\nb",
    "holds no run",
)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "--config: missing"),
        (["--config=nothing.py"], "--config: got nothing.py"),
        (["--config={folder}/broken.py"], "--config: cannot be loaded (NameError)"),
        (["--config={folder}/unknown.py"], "config.epoch: no such field; did you mean"),
        (["--config=digits:kl"], "--config: got method 'kl' after the colon, expected one of"),
        (["--config={folder}/broken.py:kd"], "--config: cannot be loaded (TypeError"),
        (["--config=nothing.py:kd"], "--config: got nothing.py"),
        (["--config=cifar10_bottom:at"], "config.layout: got bottom with method=at"),
        (["--config=configs/digits.py", "--config.epoch=3"], "did you mean config.epochs?"),
        (["--config=configs/digits.py", "--config.epochs=many"], "config.epochs: got 'many'"),
        (["--config=configs/digits.py", "--config.epochs", "0"], "config.epochs: got 0"),
        (["--config=configs/digits.py", "--config.light_depth=17"], "expected 6n + 4"),
        (["--config=configs/digits.py", "--config.gradient_block=no"], "True or False"),
        (["--config=configs/digits.py", "--epochs=3"], "did you mean --config.epochs?"),
        (["--config=digit"], "there is no such file; did you mean digits?"),
        (["--config=configs/cifar.py"], "there is no such file; did you mean cifar10"),
        (["--config=configs"], "svhn; this is a folder"),
        (["--confg=digits"], "--confg: no such flag; did you mean --config?"),
        (["--config=digits", "--verbos"], "--verbos: no such flag; --help lists all"),
        (["--config=digits", "--workdir=a", "--workdir=b"], "--workdir: given 2 times"),
        (["--config=digits", "--config.data_path=x"], "to read your own, set config.dataset to"),
        (["--config=configs/digits.py", "epochs=3"], "epochs=3: not a flag"),
        (["--config=configs/digits.py", "--workdir={folder}/broken.py"], "is a file"),
        (["--config=digits", f"--config.width={10**400}"], "config.width: got 1000"),
        (["--config=digits", "--config.learning_rate_drops=1or 2"], "drops: got '1or 2'"),
        (["--config=digits", "--config.hint=a\nb\udc80\x1b[31m"], "config.hint: got 'a\\nb"),
        (["--config=digits", "--config.epochs.x=1"], "config.epochs.x: no such field"),
        (["--config=digits", "--" + "x" * 5000], "xxx: no such flag"),
        (["--config={folder}/none.py"], "--config: get_config() of"),
        (["--evaluate_only"], "--workdir: missing"),
        (["--evaluate_only", "--workdir={folder}"], "holds no run"),
    ],
)
def test_mistakes_give_one_line_and_exit_code_2(tmp_path, arguments, message, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "broken.py").write_text("def get_config():\n    return undefined\n")
    (tmp_path / "unknown.py").write_text(
        "from rocket_tf import config as options\n\n\ndef get_config():\n"
        "    config = options.default()\n    config.epoch = 3\n    return config\n"
    )
    (tmp_path / "none.py").write_text("def get_config():\n    pass\n")
    before = sorted(tmp_path.rglob("*.py"))
    arguments = [argument.format(folder=tmp_path) for argument in arguments]
    by_process = message in OF_PROCESSES
    result = run(*arguments) if by_process else run_here(arguments, capsys)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("rocket_tf: ")
    assert result.stdout == ""
    assert sorted(tmp_path.rglob("*.py")) == before


@pytest.mark.slow
def test_a_configuration_and_a_method_by_name(tmp_path):
    arguments = ["--config=digits:light", *SMALL_RUN[1:], "--config.epochs=1"]
    result = subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (result.returncode, result.stderr) == (0, "")
    config = json.loads((tmp_path / "runs" / "digits_light" / "config.json").read_text())
    assert config["method"] == "light"


@pytest.mark.slow
def test_missing_data(tmp_path):
    result = subprocess.run(
        command(
            "--config=configs/cifar100.py",
            f"--config.data_dir={tmp_path}/data",
            f"--workdir={tmp_path}/run",
        ),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"},
    )
    assert result.returncode == 1
    line = result.stderr.splitlines()[-1]
    assert line.startswith("rocket_tf: cifar100: neither found in") and "Ways out" in line
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("folder", ["file/run", "n" * 300])
def test_a_folder_that_cannot_be_created(tmp_path, folder):
    (tmp_path / "file").write_text("")
    result = run(*SMALL_RUN, f"--workdir={tmp_path}/{folder}")
    assert result.returncode == 2
    assert result.stderr.startswith("rocket_tf: ") and result.stderr.count("\n") == 1
