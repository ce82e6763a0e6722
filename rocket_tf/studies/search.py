"""A search: candidates on the same seeds; after each seed, the worse half may be dropped."""

import dataclasses
import math

from rocket_tf import config as options
from rocket_tf.studies import statistics
from rocket_tf.system import files

_ERROR_OF_DIVERGENCE = 100.0  # per cent
_DIVERGED = "diverged.txt"


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A hint that a search tries.

    Attributes:
        hint: the field `hint`.
        weight: the field `hint_weight`.
    """

    hint: str
    weight: float

    @property
    def name(self):
        """The name of its runs' folder."""
        return f"{self.hint}_{self.weight:g}"

    @property
    def settings(self):
        """Its fields."""
        return {"hint": self.hint, "hint_weight": self.weight}


class Search:
    """Candidates, and the seeds with which they are tried.

    Args:
        candidates: a list of `Candidate`s.
        seeds: the seeds, in order.
        plan: function from a candidate and a seed to the `PlannedRun`.
        drops: whether to drop the worse half after each seed; otherwise, all get all seeds.
    """

    def __init__(self, candidates, seeds, plan, drops=True):
        self._candidates, self._plan = list(candidates), plan
        self._turns = [[seed] for seed in seeds] if drops else [list(seeds)]

    def state(self):
        """The progress of the search, which follows from the run folders.

        Returns:
            Dict with "errors", a dict from candidates to lists of validation errors in per cent,
            one for each seed; "runs", those of the unfinished turn; and "chosen", a `Candidate`, or
            `None` if runs are missing.
        """
        alive, errors = self._candidates, {}
        for seeds in self._turns:
            runs = [self._plan(candidate, seed) for seed in seeds for candidate in alive]
            turn_errors = [error_of(run) for run in runs]
            for candidate, error in zip(alive * len(seeds), turn_errors, strict=True):
                if error is not None:
                    errors.setdefault(candidate, []).append(error)
            if None in turn_errors:
                return {"errors": errors, "runs": runs, "chosen": None}
            ranked = sorted(
                alive,
                key=lambda each: (
                    statistics.describe(errors[each])["mean"],
                    each.weight,
                    each.hint,
                ),
            )
            alive = ranked[: max(1, math.ceil(len(ranked) / 2))]
            if len(alive) == 1:
                break
        return {"errors": errors, "runs": [], "chosen": alive[0]}


def error_of(run):
    """The deciding figure of a run, in per cent; `None` if it is not done."""
    if has_diverged(run):
        return _ERROR_OF_DIVERGENCE
    summary = run.folder.read_summary()
    return None if summary is None else validation_error(summary[options.trained_net(run.config)])


def is_done(run):
    """Whether a run is finished, or has diverged."""
    return has_diverged(run) or run.folder.read_summary() is not None


def validation_error(figures):
    """A net's validation error in per cent; for clicks, 100 · (1 - AUC)."""
    if "validation_auc" in figures:
        return 100 * (1 - figures["validation_auc"])
    return figures["validation_error"]


def has_diverged(run):
    """Whether a run ended with a loss that is not finite; it is not tried again."""
    return (run.folder.path / _DIVERGED).exists()


def note_divergence(run, error, title=None):
    """Prints that a run has diverged, and records it for `has_diverged`; `title` is its name."""
    print(f"{title or run.title} diverges, which counts as an error of 100 %: {error}")
    files.write_text(run.folder.path / _DIVERGED, f"{error}\n")
