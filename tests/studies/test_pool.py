"""Processes that train side by side: their requests, their answers and their ends."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from rocket_tf.config import bundled
from rocket_tf.errors import ConfigError, NonFiniteLossError, ProcessEnded
from rocket_tf.studies import pool as pools
from rocket_tf.studies import running
from rocket_tf.studies.pool import Pool, default_processes, processors
from rocket_tf.studies.study import Study

# Replaces `run_worker`; the name of a task says what it does.
WORKER = """
import json, os, pathlib, signal, sys, time

def finish(path, config):  # without the seconds that rocket_tf takes to load
    path = pathlib.Path(path)
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config))
    (path / "metrics.jsonl").write_text('{"epoch": 1, "examples_per_second": 10.0}')
    (path / "summary.json").write_text('{"light": {"validation_error": 1.0}, "booster": {}}')

def wait_for(path):
    while not pathlib.Path(path).exists():
        time.sleep(0.01)

for line in sys.stdin:
    request, answer = json.loads(line), None
    match request["task"]:
        case "meet":
            pathlib.Path(request["own"]).touch()
            wait_for(request["other"])
        case "fail":
            answer = {"error": request["error"], "message": "said"}
        case "end":
            os._exit(7)
        case "save":
            def save(*_):
                pathlib.Path(request["saved"]).touch()
                os._exit(0)
            signal.signal(signal.SIGTERM, save)
            pathlib.Path(request["begun"]).touch()
            time.sleep(60)
        case "train":
            finish(request["path"], request["config"])
        case "threads":
            threads = sys.argv[1], os.environ["OMP_NUM_THREADS"]
            pathlib.Path(request["own"]).write_text(" ".join(threads))
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture(autouse=True)
def worker(tmp_path, monkeypatch):
    (tmp_path / "own_worker.py").write_text(textwrap.dedent(WORKER))
    paths = [str(tmp_path), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


def pool_of(processes):
    return Pool(processes, "own_worker")


def test_requests_are_done_side_by_side(tmp_path):
    """Each request waits until the other one has begun."""
    one, other = str(tmp_path / "one"), str(tmp_path / "other")
    requests = [
        {"task": "meet", "own": one, "other": other},
        {"task": "meet", "own": other, "other": one},
    ]
    begun = []
    with pool_of(2) as pool:
        ended = dict(pool.answers(requests, started=begun.append))
    assert ended == {0: None, 1: None} and begun == [0, 1]


def test_each_has_its_share_of_the_processors(tmp_path):
    request = {"task": "threads", "own": str(tmp_path / "said")}
    with pool_of(2) as pool:
        list(pool.answers([request]))
    share = max(1, processors() // 2)
    assert (tmp_path / "said").read_text() == f"{share} {share}"


@pytest.mark.parametrize(
    "name, kind", [("NonFiniteLossError", NonFiniteLossError), ("FileExistsError", OSError)]
)
def test_an_answer_can_be_an_error(name, kind):
    with pool_of(1) as pool:
        ((_, error),) = pool.answers([{"task": "fail", "error": name}])
    assert isinstance(error, kind) and str(error) == "said"


def test_a_process_that_ends_early_is_an_error():
    with pytest.raises(ProcessEnded, match="exit code 7; the same command"), pool_of(1) as pool:
        list(pool.answers([{"task": "end"}]))


def test_after_an_interruption_they_can_save(tmp_path):
    saved, begun = tmp_path / "saved", tmp_path / "begun"
    request = {"task": "save", "saved": str(saved), "begun": str(begun)}
    meeting = {"task": "meet", "own": str(tmp_path / "own"), "other": str(begun)}

    def interrupted():
        with pool_of(2) as pool:
            next(pool.answers([request, meeting]))  # returns once the first has begun
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert saved.exists()


def test_zero_processes_are_refused():
    with pytest.raises(ConfigError, match="--processes: got 0"):
        Pool(0)


def test_the_default_number_of_processes(monkeypatch):
    monkeypatch.setattr(pools, "_GPUS", ())
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for count, expected in ((1, 1), (2, 2), (64, 8)):
        monkeypatch.setattr(pools, "processors", lambda count=count: count)
        assert default_processes() == expected
    monkeypatch.setattr(pools, "_GPUS", ("/dev/null",))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert default_processes() == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert default_processes() == 8
    monkeypatch.setenv("TF_CONFIG", "{}")
    assert default_processes() == 1


class TestRuns:
    @pytest.fixture
    def plan(self, tmp_path):
        methods = ("light", "kd", "rocket_kd")
        return Study(bundled.load("digits"), methods, 1, {"epochs": 2}, tmp_path / "runs")

    def test_are_trained_and_printed(self, plan, capsys):
        runs = plan.comparison()
        after = []
        with pool_of(3) as pool:
            summaries = running.complete(
                runs, plan.data, lambda: after.append(len(running.missing(runs))), pool=pool
            )
        assert [summary["light"]["validation_error"] for summary in summaries] == [1.0] * 4
        assert after[-1] == 0
        output = capsys.readouterr().out.splitlines()
        assert output[0] == "4 of 4 runs to do. Loading TensorFlow"
        begun = [line.split(";")[0] for line in output if line.startswith("== ")]
        assert begun[:2] == ["== run 1 of 4: booster, seed 0", "== run 2 of 4: light, seed 0"]
        done = [line for line in output if line.startswith("done: ")]
        assert [line.split(",")[0] for line in done] == [f"done: {n} of 4" for n in (1, 2, 3, 4)]
        # Runs that follow the booster start once it has ended.
        ended = output.index(next(line for line in done if line.endswith("booster, seed 0")))
        assert all(
            output.index(line) > ended for line in output if "kd, seed 0" in line and "==" in line
        )

    def test_the_first_of_two_runs_that_follow_an_external_booster_trains_it(self, plan):
        """The booster is not in this plan; the second run must not find its folder in use."""
        *_, one, other = plan.comparison()
        asked = []

        class Asked(Pool):
            def answers(self, requests, may_start, started):
                asked.append((may_start(0, set()), may_start(1, set()), may_start(1, {0})))
                return iter(())

        list(running.in_turn("train", None, [one, other], plan.data, Asked(2)))
        assert asked == [(True, True, False)]


REQUESTS = """
import sys, time
sys.argv[0] = "rocket-tf"  # so that the package does not load TensorFlow
from rocket_tf.studies.run_worker import _Requests
requests = _Requests()
for request in requests:
    if request == "answered":
        requests.answered()
    print(request, flush=True)
    if request != "answered":
        time.sleep(60)
print("orderly")
"""


@pytest.mark.parametrize("request_, code", [("answered", 0), ("training", -signal.SIGTERM)])
def test_a_process_ends_when_its_stdin_closes(request_, code):
    process = subprocess.Popen(
        [sys.executable, "-c", REQUESTS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    print(json.dumps(request_), file=process.stdin, flush=True)
    assert process.stdout.readline() == f"{request_}\n"
    rest, _ = process.communicate(timeout=60)  # this closes stdin
    assert (process.returncode, rest) == (code, "" if code else "orderly\n")
