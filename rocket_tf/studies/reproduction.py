"""Runs the missing cells of a table, and compares their figures.

A table's result follows only from its run folders, so it is the same after any interruptions.
"""

import dataclasses
import platform
from pathlib import Path

from rocket_tf import config as options
from rocket_tf.config.methods import METHODS
from rocket_tf.errors import ConfigError
from rocket_tf.runs.folder import RunFolder
from rocket_tf.studies import running, statistics
from rocket_tf.studies.paper_tables import Column, Row, Table, config_of
from rocket_tf.studies.running import PlannedRun
from rocket_tf.system.provenance import machine


@dataclasses.dataclass(frozen=True)
class Run(PlannedRun):
    """One training run of a table: one method, on one row, with one seed."""

    row: Row
    method: str
    seed: int


class Reproduction:
    """A table, the seeds to run it with, and the folder of its runs.

    Args:
        table: a `Table`.
        seeds: number of seeds, from 0 on.
        settings: dict of fields that differ from the paper's recipe, such as `epochs`.
        runs: folder for the runs.
        methods: the methods to run, keys of `methods.METHODS`; `None`: all that the table has.
        write_only: whether only to read finished runs. These may follow the recipe before 0.2, if
            all of them do.

    Raises:
        ConfigError: if a cell cannot be run with these settings, or a run folder holds another run.
    """

    def __init__(self, table: Table, seeds, settings, runs, methods=None, write_only=False):
        self.table = table
        self.seeds = range(seeds)
        self.settings = dict(settings)
        self.methods = methods
        self._root = Path(runs)
        self._check_settings()
        self.runs, data = [], None
        for run in self._plan():
            data = options.check(run.config, data)
            run = dataclasses.replace(run, card=data.card)
            if not (write_only and _is_finished_before_0_2(run)):
                run.folder.check(run.config, data)
            self.runs.append(run)
        self._data = data
        self._check_recipes()

    def columns(self, row):
        """The requested columns that are defined for a row."""
        return [
            column
            for column in self.table.columns
            if column not in row.excluded and (not self.methods or column.method in self.methods)
        ]

    def complete(self, after_run=lambda: None):
        """Trains the runs that are not finished, seed by seed.

        Args:
            after_run: called after each.
        """
        running.complete(self.runs, self._data, after_run)

    def result(self, command, note=""):
        """The table as measured so far.

        Args:
            command: the command that gives these figures.
            note: a note for readers of the figures.

        Returns:
            Dict fit for JSON. Errors and differences are in per cent, for the epoch of each run's
            summary. "rows" have "cells", one for each column: "paper" (the paper's figure or
            `None`), "by_seed", the figures of `statistics.describe`, and "difference", the paired
            difference to the base. They also have "order", from `statistics.compare_order` for the
            light nets, or `None` without figures in the paper; "config", the row's recipe; and
            "curves", the metrics of a few runs by title, for pictures.
        """
        versions = [
            summary["versions"]
            for summary in (run.folder.read_summary() for run in self.runs)
            if summary is not None
        ]
        return {
            "table": self.table.name,
            "title": self.table.title,
            "command": command,
            "note": note,
            "seeds": len(self.seeds),
            "settings": {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in self.settings.items()
                if name != "data_dir"
            },
            "versions": {
                "python": platform.python_version(),
                **{
                    package: ", ".join(sorted({by_package[package] for by_package in versions}))
                    for package in ("tensorflow", "keras")
                },
            },
            "machine": machine(),
            "rows": [self._row_result(row) for row in self.table.rows if self.columns(row)],
            "curves": self._curves(),
        }

    def _curves(self):
        """The metrics of some runs, by method, for a comparison of learning curves.

        They are those of the table's first row and first seed: base, rocket, and rocket without
        gradient block, if they exist.
        """
        row = self.table.rows[0]
        runs = {
            Column(column.method).title: self._run(row, column.method, self.seeds[0])
            for column in self.columns(row)
            if column.method in ("light", "rocket", "rocket_no_gradient_block")
        }
        return {
            title: running.curve_of(run)
            for title, run in runs.items()
            if run.folder.read_summary() is not None
        }

    def _check_settings(self):
        """Checks that no setting removes the differences between cells."""
        taken = {"seed", "dataset", "booster_run", "pictures", *self.table.varied}
        for row in self.table.rows:
            taken |= set(row.settings)
            for column in self.columns(row):
                taken |= set(METHODS[column.method].settings)
        for name in self.settings:
            if name in taken:
                raise ConfigError(
                    f"--set: got {name}, which the table itself sets for its cells; expected none "
                    f"of {', '.join(sorted(taken))}"
                )

    def _check_recipes(self):
        """Checks that finished runs of two recipes are not compared."""
        finished = [run for run in self.runs if run.folder.read_summary() is not None]
        older = [run for run in finished if options.is_before_0_2(run.folder.read_config())]
        if older and len(older) < len(finished):
            newer = next(run for run in finished if run not in older)
            raise ConfigError(
                f"--runs: {older[0].folder.path} follows the recipe before 0.2, "
                f"{newer.folder.path} does not; expected runs of one recipe"
            )

    def _plan(self):
        runs = {}
        for seed in self.seeds:
            for row in self.table.rows:
                methods = list(dict.fromkeys(column.method for column in self.columns(row)))
                if not methods:
                    continue
                followed = set(methods) & set(options.METHODS_WITH_TEACHER)
                # First the boosters that others follow, even if the table has no column for them.
                first = ["booster"] if followed or "booster" in methods else []
                for method in dict.fromkeys([*first, *methods]):
                    run = self._run(row, method, seed)
                    runs.setdefault(run.folder.path, run)
        if not runs:
            defined = dict.fromkeys(
                column.method
                for row in self.table.rows
                for column in self.table.columns
                if column not in row.excluded
            )
            raise ConfigError(
                f"--methods: got {', '.join(self.methods)}, expected some of those that are "
                f"defined for these rows: {', '.join(defined)}"
            )
        return list(runs.values())

    def _run(self, row, method, seed):
        title = f"{row.title}, {Column(method).title}, seed {seed}"
        varied = dict.fromkeys(self.table.varied, seed)
        config = dict(config_of(row, method, {**self.settings, **varied, "seed": seed}))
        config["pictures"] = False  # the table has its own
        # Rows with equally trained boosters share one run of it.
        booster = options.booster_config(config)
        booster_path = self._pair_folder(row, booster) / "booster" / f"seed{seed}"
        if method == "booster":
            return Run(title, booster, RunFolder(booster_path), None, row, method, seed)
        config["booster_run"] = (
            str(booster_path) if config["method"] in options.METHODS_WITH_TEACHER else ""
        )
        path = self._pair_folder(row, config) / method / f"seed{seed}"
        return Run(title, config, RunFolder(path), None, row, method, seed)

    def _pair_folder(self, row, config):
        budget = [row.dataset]
        if config["train_examples"]:
            budget.append(f"{config['train_examples']}_examples")
        budget.append(f"{config['epochs']}_epochs")
        pair = [
            config["layout"],
            *([str(config["light_depth"])] if config["light_depth"] else []),
            str(config["booster_depth"]),
            f"width{config['width']}",
        ]
        return self._root / "_".join(budget) / "_".join(pair)

    def _row_result(self, row):
        columns = self.columns(row)
        errors = {column: self._errors(row, column) for column in columns}
        base = columns[0]
        cells = []
        for column in columns:
            figures = errors[column]
            cell = {
                "title": column.title,
                "method": column.method,
                "net": column.net,
                "paper": row.paper.get(column),
                "by_seed": {str(seed): error for seed, error in figures.items()},
            }
            if figures:
                cell |= statistics.describe(list(figures.values()))
                if column is not base:
                    cell["difference"] = statistics.paired_difference(figures, errors[base])
            cells.append(cell)
        light = {column.title: row.paper[column] for column in row.paper if column.net == "light"}
        order = statistics.compare_order(
            light, {column.title: figures for column, figures in errors.items()}
        )
        return {
            "key": row.key,
            "title": row.title,
            "dataset": row.dataset,
            "config": self._recipe(row),
            "cells": cells,
            "excluded": [column.title for column in row.excluded],
            "order": order if order["pairs"] else None,
        }

    def _recipe(self, row):
        """The configuration from which a row's methods start, without each run's own fields."""
        run = self._run(row, self.columns(row)[0].method, self.seeds[0])
        config = run.config
        if _is_finished_before_0_2(run):
            config = run.folder.read_config()
        left_out = ("seed", *self.table.varied, "method", "data_dir", "booster_run", "pictures")
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in config.items()
            if name not in left_out
        }

    def _errors(self, row, column):
        """Test errors in per cent by seed, for the finished seeds."""
        errors = {}
        for seed in self.seeds:
            summary = self._run(row, column.method, seed).folder.read_summary()
            if summary is not None:
                errors[seed] = summary[column.net]["test_error"]
        return errors


def _is_finished_before_0_2(run):
    """Whether a run is finished, and differs from the plan only by the recipe before 0.2."""
    if not run.folder.holds_run() or run.folder.read_summary() is None:
        return False
    config = run.folder.read_config()
    ignored = [*options.fields_without_effect(run.config), *options.CHANGED_IN_0_2]
    return options.is_before_0_2(config) and not options.differences(config, run.config, ignored)
