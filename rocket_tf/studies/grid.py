"""When does a rocket help? One study at each point of a grid of fields."""

import itertools
import re
from pathlib import Path

from rocket_tf.errors import ConfigError
from rocket_tf.studies import study as studies
from rocket_tf.studies.study_result import result_of

# The parts of a study's result that are kept for each point and row, and those common to all.
_OF_POINT = ("figure", "figure_title", "examples", "verdict")
_OF_ROW = (
    "method",
    "title",
    "net",
    "by_seed",
    "mean",
    "standard_deviation",
    "median",
    "difference",
    "gain",
    "seconds",
)
_OF_ALL = ("seeds", "in_per_cent", "config", "versions", "machine")


class Grid:
    """Studies that differ in some fields; their runs are trained like those of one study.

    Args:
        fields: dict from fields to lists of values; the first field is the picture's horizontal
            axis, and each combination of the others is a line.
        make_study: function from a dict of fields and a folder to a `Study`.
        runs: folder for the runs; each study has a folder in it.

    Raises:
        ConfigError: if a field has a repeated value, or a study cannot be made.
    """

    def __init__(self, fields, make_study, runs):
        for name, values in fields.items():
            if len(set(values)) < len(values):
                raise ConfigError(
                    f"--grid: got {name} with a repeated value, expected different values"
                )
        self.fields = fields
        self.points = []
        for values in itertools.product(*fields.values()):
            settings = dict(zip(fields, values, strict=True))
            name = "_".join(f"{field}_{value}" for field, value in settings.items())
            name = re.sub(r"[^\w.-]", "_", name)
            self.points.append((settings, make_study(settings, Path(runs) / name)))

    def complete(self, processes=1):
        """Completes the studies: trains all missing runs, then opens the test examples.

        Args:
            processes: as for `Study.complete`.

        Returns:
            Whether all is done; `False` if runs of other shards are missing.
        """
        return studies.complete([study for _, study in self.points], processes)

    def result(self, command):
        """The results so far, fit for JSON.

        Args:
            command: the command that gives these figures.

        Returns:
            Dict with "grid", the fields with their values; "points", for each its "settings" and,
            as in a study's result, "examples", "verdict", "figure", "figure_title" and "rows",
            which also have "gain", the difference with the sign of what is better; and "seeds",
            "in_per_cent", "config" (that of the first point), "versions" and "machine".
        """
        results = [(settings, result_of(study, command)) for settings, study in self.points]
        points = [
            {
                "settings": settings,
                **{name: result[name] for name in _OF_POINT},
                "rows": [_row(row, result["in_per_cent"]) for row in result["rows"]],
            }
            for settings, result in results
        ]
        _, first = results[0]
        return {
            "command": command,
            "grid": {name: list(values) for name, values in self.fields.items()},
            "points": points,
            **{name: first[name] for name in _OF_ALL},
        }


def _row(row, less_is_better):
    gain = row["difference"]
    if gain is not None and less_is_better:
        # Subtracted from 0, because a minus sign would make -0 of 0.
        interval = gain["interval"] and [0 - bound for bound in reversed(gain["interval"])]
        gain = {**gain, "mean": 0 - gain["mean"], "interval": interval}
    row = {**row, "gain": gain}
    return {name: row[name] for name in _OF_ROW}
