r"""Two days of a simulated click log in a row, the second with new users and items.

    python -m tools.experiments.next_day --runs=runs/next_day --seeds=1 \
        --output=results/next_day.json

The second half of a log is its second day. A fifth of the users and of the items are new on it:
their impressions and clicks are removed from the first day. For each seed, three rockets are
trained: one on the first day, one that starts from it on the second day, and one on the second day
from random weights. All are tested on the last tenth of the second day.

The second day of the first seed is trained once more by the command, which is killed (SIGKILL)
during the evaluation of the old nets and again after some steps. It must end like the undisturbed
run.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from rocket_tf import train
from rocket_tf.config import bundled
from rocket_tf.data.clicks.simulated import COLUMNS, simulate

IMPRESSIONS, USERS, ITEMS, NEW = 60_000, 600, 400, 0.2
FIELDS = {
    "dataset": "click_log",
    "category_columns": COLUMNS.categories,
    "number_columns": COLUMNS.numbers,
    "history_column": COLUMNS.history,
    "request_columns": ("user", "hour", "device"),
    "epochs": 2,
    "learning_rate_drops": (),
    "checkpoint_every_steps": 20,
    "pictures": False,
}
METRICS = ("auc", "gauc", "log_loss", "calibration")


def write_days(folder, seed):
    """Writes both days as folders with train.parquet and test.parquet; returns what is new."""
    data, _ = simulate(IMPRESSIONS, USERS, ITEMS, seed)
    parts = data.train, data.test
    columns = {
        name: np.concatenate([part.inputs[name] for part in parts]) for name in data.train.inputs
    }
    columns["click"] = np.concatenate([part.labels for part in parts])
    random = np.random.default_rng(seed)
    new = {
        name: random.choice(number, round(NEW * number), replace=False)
        for name, number in (("user", USERS), ("item", ITEMS))
    }
    half = IMPRESSIONS // 2
    is_old = ~np.isin(columns["user"], new["user"]) & ~np.isin(columns["item"], new["item"])
    rows = np.arange(IMPRESSIONS)
    days = {"day1": rows[(rows < half) & is_old], "day2": rows[half:]}
    for day, day_rows in days.items():
        (folder / day).mkdir(parents=True, exist_ok=True)
        border = len(day_rows) - len(day_rows) // 10
        for part, chosen in (("train", day_rows[:border]), ("test", day_rows[border:])):
            table = {name: array[chosen] for name, array in columns.items()}
            gone = [-1, *new["item"]] if day == "day1" else [-1]
            table["history"] = [row[~np.isin(row, gone)].tolist() for row in table["history"]]
            pa.parquet.write_table(pa.table(table), folder / day / f"{part}.parquet")
    test = days["day2"][-(len(days["day2"]) // 10) :]
    is_new = ~is_old[test]
    return {
        **{
            f"{day}_training_impressions": len(day_rows) - len(day_rows) // 10
            for day, day_rows in days.items()
        },
        "test_impressions": len(test),
        "test_impressions_of_new_users_or_items": int(is_new.sum()),
    }


def fields_of(log, seed, init_run=""):
    return {**FIELDS, "data_path": str(log), "seed": seed, "init_run": str(init_run)}


def trained(workdir, fields):
    config = bundled.load("clicks", "rocket")
    config.update(fields)
    return train.train_and_evaluate(config, workdir, verbose=False)


def killed_twice(workdir, fields):
    """Trains with the command and kills it twice; returns when."""
    texts = {n: ",".join(v) if isinstance(v, tuple) else v for n, v in fields.items()}
    texts["learning_rate_drops"] = "()"
    command = [sys.executable, "-m", "rocket_tf.main", "--config=clicks", f"--workdir={workdir}"]
    command += [f"--config.{name}={text}" for name, text in texts.items()]
    log, moments = workdir.with_suffix(".log"), []
    for is_time in (
        lambda: log.exists() and "Evaluating the nets" in log.read_text(),
        lambda: list(workdir.glob("checkpoints/*-step-*.index")),
    ):
        with log.open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
            while process.poll() is None and not is_time():
                time.sleep(0.05)
            process.kill()
            process.wait()
        checkpoints = sorted(path.stem for path in workdir.glob("checkpoints/*.index"))
        evaluated = (workdir / "before.json").exists()
        moments.append({"old_nets_evaluated": evaluated, "checkpoints": checkpoints})
    closing = subprocess.run(command, check=True, text=True, capture_output=True).stdout
    return moments, closing[closing.index("net ") :].replace(str(workdir), "<run>")


def is_same(one, other):
    """Whether two runs have the same metrics of all epochs and the same summary."""
    texts = []
    for workdir in (one, other):
        lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
        summary = json.loads((workdir / "summary.json").read_text())
        metrics = [{n: v for n, v in line.items() if n != "examples_per_second"} for line in lines]
        texts.append(json.dumps([metrics, summary], sort_keys=True))
    return texts[0] == texts[1]


def figures(summary_of_net):
    return {name: summary_of_net[f"test_{name}"] for name in METRICS}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="folder of logs and runs")
    parser.add_argument("--output", type=Path, required=True, help="file to write")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    result = {
        "command": "python -m tools.experiments.next_day --runs=runs/next_day "
        f"--output=results/next_day.json --seeds={arguments.seeds}",
        "seeds": [],
    }
    for seed in range(arguments.seeds):
        folder = arguments.runs / f"seed{seed}"
        sizes = write_days(folder, seed)
        trained(folder / "run1", fields_of(folder / "day1", seed))
        second = fields_of(folder / "day2", seed, folder / "run1")
        summary = trained(folder / "run2", second)
        scratch = trained(folder / "scratch", fields_of(folder / "day2", seed))
        by_net = {
            net: {
                "day 1's, before": figures(summary["before"][net]),
                "trained on": figures(summary[net]),
                "day 2 alone": figures(scratch[net]),
            }
            for net in ("light", "booster")
        }
        result["seeds"].append({"seed": seed, **sizes, **by_net})
        print(json.dumps(result["seeds"][-1]), flush=True)
        if not seed:
            moments, table = killed_twice(folder / "killed", second)
            result["killed"] = moments
            result["ends_as_the_undisturbed_run"] = is_same(folder / "run2", folder / "killed")
            result["closing_table"] = table.splitlines()[:7]
            print(moments, result["ends_as_the_undisturbed_run"], table, flush=True)
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
