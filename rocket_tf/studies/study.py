"""A study: does a rocket help on some data, and which hint serves it best?

Three steps, each of which follows from the run folders alone, so that an interrupted study goes on
where it was:

1. The search, if there are several candidates: hints and weights on seeds, and splits, that the
   comparison does not use. After each seed the worse half of the candidates is dropped.
2. The comparison: every method on the same seeds. All runs hold validation examples out, which
   choose their epoch.
3. The test examples are opened, once all runs are done.
"""

import dataclasses
import math
from pathlib import Path

from rocket_tf import config as options
from rocket_tf.config.methods import METHODS, with_method
from rocket_tf.data.catalog import SPLIT_BY_SEED
from rocket_tf.errors import ConfigError
from rocket_tf.runs.folder import RunFolder
from rocket_tf.studies import final_figures, running
from rocket_tf.studies.hint_weights import validation_error
from rocket_tf.studies.running import PlannedRun
from rocket_tf.system import files

# Seeds of the search begin here, far from those of the comparison.
FIRST_SEARCH_SEED = 10_000
_HELD_OUT = 5  # a fifth of the training examples, unless the configuration says how many
_ERROR_OF_DIVERGENCE = 100.0  # per cent
_DIVERGED = "diverged.txt"


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A hint that the search tries.

    Attributes:
        hint: the field `hint`.
        weight: the field `hint_weight`.
    """

    hint: str
    weight: float

    @property
    def name(self):
        """What its runs' folder is called."""
        return f"{self.hint}_{self.weight:g}"

    @property
    def settings(self):
        """The fields that make it."""
        return {"hint": self.hint, "hint_weight": self.weight}


@dataclasses.dataclass(frozen=True)
class Shard:
    """Which part of the runs this process does: `number` of `shards`, counted from 1."""

    number: int = 1
    shards: int = 1

    def own(self, runs):
        """Every so many-th run, from the own number on."""
        return runs[self.number - 1 :: self.shards]


class Study:
    """Methods on the same seeds, the hint chosen before.

    Args:
        config: the rocket's configuration, a mapping.
        methods: names of `METHODS`; the first is what the others are compared with.
        seeds: how many seeds, from 0 on.
        settings: dict of fields that differ from the configuration.
        candidates: list of `Candidate`s; of one, or none, nothing is searched.
        search_seeds: how many seeds the search takes, at most.
        runs: folder for the runs.
        shard: which `Shard` of the runs this process does.

    Raises:
        ConfigError: if a run cannot be made as asked, or its folder holds another one.
    """

    def __init__(
        self, config, methods, seeds, settings, runs, candidates=(), search_seeds=3, shard=None
    ):
        for name, value in (("seeds", seeds), ("search_seeds", search_seeds)):
            if value < 1:
                raise ConfigError(f"--{name}: got {value}, expected at least 1")
        _check_methods(methods)
        _check_settings(settings, methods, candidates)
        self.methods, self.seeds = list(methods), range(seeds)
        self.candidates, self.search_seeds = list(candidates), search_seeds
        self.shard = shard or Shard()
        self._root = Path(runs)
        self._planned, self._data = {}, None
        self._config = self._held_out({**config, **settings, "pictures": False})
        # All runs that may be made are checked before any is.
        for candidate in self.candidates if self.searches else ():
            self._search_run(candidate, 0)
        self.comparison()

    @property
    def searches(self):
        """Whether there is something to choose."""
        return len(self.candidates) > 1

    @property
    def config(self):
        """The configuration that the methods start from, with the chosen hint once it is known."""
        if not self.candidates:
            return self._config
        chosen = self.search()["chosen"] if self.searches else None
        return self._config | (chosen or self.candidates[0]).settings

    def search(self):
        """How far the search has come.

        Returns:
            Dict with "errors", a dict from candidates to lists of validation errors in per cent,
            one a seed; "runs", those of the seed that is not done; and "chosen", a `Candidate`, or
            `None` where runs are missing.
        """
        alive, errors = self.candidates, {}
        for turn in range(self.search_seeds):
            runs = [self._search_run(candidate, turn) for candidate in alive]
            for candidate, run in zip(alive, runs, strict=True):
                error = _validation_error(run)
                if error is None:
                    return {"errors": errors, "runs": runs, "chosen": None}
                errors.setdefault(candidate, []).append(error)
            ranked = sorted(alive, key=lambda each: (sum(errors[each]), each.weight, each.hint))
            alive = ranked[: max(1, math.ceil(len(ranked) / 2))]
            if len(alive) == 1:
                break
        return {"errors": errors, "runs": [], "chosen": alive[0]}

    def comparison(self):
        """The runs of the comparison, a list of `PlannedRun`s, seed by seed.

        Before a hint is chosen, they are those of the first candidate.
        """
        config = self.config
        self._planned = {}
        for seed in self.seeds:
            names = [*self.methods]
            if set(names) & set(options.METHODS_WITH_TEACHER) and "booster" not in names:
                names.insert(0, "booster")
            # What others follow comes first.
            for method in sorted(names, key=lambda name: name != "booster"):
                run = self._run(config, method, seed, self._root / method, method)
                self._planned[method, seed] = run
        return list(self._planned.values())

    def complete(self):
        """Does what is missing, step by step.

        Returns:
            Whether all is done; `False` where other shards' runs are missing.
        """
        while self.searches:
            found = self.search()
            if found["chosen"] is not None:
                break
            if not self._train(found["runs"]):
                return False
        runs = self.comparison()
        if not self._train(runs):
            return False
        final_figures.complete([run for run in runs if not has_diverged(run)], self._data)
        return True

    def summaries(self, method):
        """What is known of a method, a dict from seeds to summaries, with test figures if open."""
        found = {}
        for seed in self.seeds:
            run = self.planned(method, seed)
            summary = final_figures.read(run) or run.folder.read_summary()
            if summary is not None:
                found[seed] = summary
        return found

    def planned(self, method, seed):
        """One run of the comparison, a `PlannedRun`."""
        return self._planned[method, seed]

    @property
    def card(self):
        """The data's card."""
        return self._data.card

    def _train(self, runs):
        """Trains this shard's part of some runs; whether none is missing then."""
        to_do = [run for run in self.shard.own(runs) if _validation_error(run) is None]
        running.complete(to_do, self._data, diverged=_note_divergence)
        return all(_validation_error(run) is not None for run in runs)

    def _search_run(self, candidate, turn):
        seed = FIRST_SEARCH_SEED + turn
        root = self._root / "search" / candidate.name
        config = self._config | candidate.settings
        return self._run(config, "rocket", seed, root, f"search, {candidate.name}")

    def _run(self, config, method, seed, root, title):
        own = options.default()
        own.update(config)
        own = dict(with_method(own, method))
        own |= {"seed": seed}
        if own["dataset"] in SPLIT_BY_SEED:
            own["split_seed"] = seed
        if own["method"] in options.METHODS_WITH_TEACHER:
            own["booster_run"] = str(self._root / "booster" / f"seed{seed}")
        own = options.with_unread_at_defaults(own)
        self._data = options.check(own, self._data)
        folder = RunFolder(root / f"seed{seed}")
        folder.check(own, self._data)
        return PlannedRun(f"{title}, seed {seed}", own, folder, self._data.card)

    def _held_out(self, config):
        self._data = options.check({**config, "evaluate_test": True})
        if not config["validation_examples"]:
            examples = options.number_of_training_examples(config, self._data.card)
            config["validation_examples"] = max(1, examples // _HELD_OUT)
        config["evaluate_test"] = False
        return config


def has_diverged(run):
    """Whether a run ended in a loss that is not finite; it is not tried again."""
    return (run.folder.path / _DIVERGED).exists()


def _note_divergence(run, error):
    print(f"{run.title} diverges, which counts as an error of 100 %: {error}")
    files.write_text(run.folder.path / _DIVERGED, f"{error}\n")


def _validation_error(run):
    """What decides of a run, in per cent; `None` if it is not done."""
    if has_diverged(run):
        return _ERROR_OF_DIVERGENCE
    summary = run.folder.read_summary()
    if summary is None:
        return None
    return validation_error(summary[options.trained_net(run.config)])


def _check_methods(methods):
    for name in methods:
        if name not in METHODS:
            raise ConfigError(
                f"--methods: got {name!r}, expected some of {', '.join(METHODS)}, with commas "
                "between"
            )
    if len(set(methods)) < len(methods) or not methods:
        raise ConfigError(f"--methods: got {','.join(methods)}, expected each once")


def _check_settings(settings, methods, candidates):
    own = {"seed", "split_seed", "booster_run", "pictures", "evaluate_test"}
    own |= {field for method in methods for field in METHODS[method].settings}
    own |= {"hint", "hint_weight"} if candidates else set()
    if own & set(settings):
        raise ConfigError(f"--set: got {min(own & set(settings))}, which the study itself sets")
