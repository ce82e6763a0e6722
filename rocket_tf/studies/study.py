"""A study: does a rocket help on some data, and which hint is best?

It has four steps. Each follows only from the run folders, so an interrupted study goes on where it
stopped:

1. The search, if there are several candidates: hints and weights on seeds and splits that the
   comparison does not use. After each seed, the worse half of the candidates is dropped.
2. The comparison: every method on the same seeds. All runs hold out validation examples, which
   choose their epoch.
3. The test examples are opened when all runs are done.
4. One export of each net is timed.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rocket_tf import config as options
from rocket_tf.config.methods import METHODS, with_method
from rocket_tf.data.catalog import SPLIT_BY_SEED
from rocket_tf.errors import ConfigError
from rocket_tf.studies import final_figures, running, study_latency
from rocket_tf.studies.pool import Pool
from rocket_tf.studies.search import Search, has_diverged, is_done, note_divergence

# Seeds of the search begin here, far from those of the comparison.
FIRST_SEARCH_SEED = 10_000
# Fields that a study sets itself, besides those of its methods and its search.
OWN_FIELDS = ("seed", "split_seed", "booster_run", "pictures", "evaluate_test")
_HELD_OUT = 5  # a fifth of the training examples, unless the configuration sets a number


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way in which a study trains.

    Attributes:
        name: name of its runs' folder.
        method: one of `METHODS`.
        settings: fields in which it differs, besides those of the method.
    """

    name: str
    method: str
    settings: Mapping[str, object] = dataclasses.field(default_factory=dict)

    @property
    def title(self):
        """What tables call it."""
        return METHODS[self.method].title


@dataclasses.dataclass(frozen=True)
class Shard:
    """Which part of the runs this process does: `number` of `shards`, counted from 1."""

    number: int = 1
    shards: int = 1

    def own(self, runs):
        """Every n-th run for n shards, shifted in each round, so that methods are mixed."""
        remainder = self.number - 1
        return [
            run
            for index, run in enumerate(runs)
            if (index + index // self.shards) % self.shards == remainder
        ]


class Study:
    """Methods on the same seeds, with a hint that is chosen first.

    Args:
        config: the rocket's configuration, a mapping.
        methods: names of `METHODS`, or `Arm`s; the others are compared with the first.
        seeds: number of seeds, from 0 on.
        settings: dict of fields that differ from the configuration.
        runs: folder for the runs.
        candidates: list of `Candidate`s; with one or none, there is no search.
        search_seeds: largest number of seeds of the search.
        shard: the `Shard` of the runs that this process does.
        title: prefix of the runs' titles.

    Raises:
        ConfigError: if a run cannot be made with these settings, or its folder holds another run.
    """

    # Whether validation examples are held out, and the test examples opened last.
    holds_out = True
    # What to do if a run diverges, as for `running.complete`.
    diverged: Callable[..., Any] | None = staticmethod(note_divergence)
    kind_in_messages = "study"

    def __init__(
        self,
        config,
        methods,
        seeds,
        settings,
        runs,
        candidates=(),
        search_seeds=3,
        shard=None,
        title="",
    ):
        for name, value in (("seeds", seeds), ("search_seeds", search_seeds)):
            if value < 1:
                raise ConfigError(f"--{name}: got {value}, expected at least 1")
        self._arms = {arm.name: arm for arm in _checked(methods)}
        self.methods, self.seeds = list(self._arms), range(seeds)
        self._check_settings(settings, candidates)
        self.candidates = list(candidates)
        self.shard = shard or Shard()
        self.root, self._title = Path(runs), title
        self._planned, self._data = {}, None
        self._config = self._held_out({**config, **settings, "pictures": False})
        last = FIRST_SEARCH_SEED + search_seeds
        self._search = Search(self.candidates, range(FIRST_SEARCH_SEED, last), self._search_run)
        # All possible runs are checked before any is made.
        for candidate in self.candidates if self.searches else ():
            self._search_run(candidate, FIRST_SEARCH_SEED)
        self.comparison()

    @property
    def searches(self):
        """Whether there is something to choose."""
        return len(self.candidates) > 1

    @property
    def config(self):
        """The configuration from which the methods start, with the chosen hint when it is known."""
        if not self.candidates:
            return self._config
        chosen = self.search()["chosen"] if self.searches else None
        return self._config | (chosen or self.candidates[0]).settings

    def search(self):
        """The progress of the search, from `Search.state`."""
        return self._search.state()

    def comparison(self):
        """The runs of the comparison, a list of `PlannedRun`s, seed by seed.

        Before a hint is chosen, they are those of the first candidate.
        """
        config = self.config
        arms = list(self._arms.values())
        if {arm.method for arm in arms} & set(options.METHODS_WITH_TEACHER):
            # Runs that others follow come first.
            booster = self._arms.get("booster", Arm("booster", "booster"))
            arms = [booster, *(arm for arm in arms if arm is not booster)]
        self._planned = {
            (arm.name, seed): self._run(config, arm, seed, self.root / arm.name, arm.name)
            for seed in self.seeds
            for arm in arms
        }
        return list(self._planned.values())

    def step(self):
        """The runs that can be made now, of one turn of the search or of the comparison."""
        if self.searches:
            search = self.search()
            if search["chosen"] is None:
                return search["runs"]
        return self.comparison()

    def complete(self, processes=1):
        """Completes the study step by step.

        Args:
            processes: number of processes that train side by side, each with its share of the
                processors.

        Returns:
            Whether all is done; `False` if runs of other shards are missing.
        """
        if not complete([self], processes):
            return False
        if self.holds_out:
            study_latency.complete(self.nets(), self._data, self.root)
        return True

    def nets(self):
        """The nets of the table, a dict from (method, net) to the first run that has it."""
        first_runs = {}
        for method in self.methods:
            for seed, summary in self.summaries(method).items():
                for net in ("light", "booster"):
                    if net in summary:
                        first_runs.setdefault((method, net), self.planned(method, seed))
        return first_runs

    def summaries(self, method):
        """The results of a method, a dict from seeds to summaries, with test figures if open."""
        by_seed = {}
        for seed in self.seeds:
            run = self.planned(method, seed)
            summary = final_figures.read(run) or run.folder.read_summary()
            if summary is not None:
                by_seed[seed] = summary
        return by_seed

    def planned(self, method, seed):
        """One run of the comparison, a `PlannedRun`."""
        return self._planned[method, seed]

    def title(self, method):
        """The name of a method in tables."""
        return self._arms[method].title

    @property
    def data(self):
        """Open data, a `DataSet`."""
        return self._data

    def _search_run(self, candidate, seed):
        root = self.root / "search" / candidate.name
        config = self._config | candidate.settings
        rocket = Arm("rocket", "rocket")
        return self._run(config, rocket, seed, root, f"search, {candidate.name}")

    def _run(self, config, arm, seed, root, title):
        run_config = options.default()
        run_config.update(config)
        run_config = {**with_method(run_config, arm.method), **arm.settings, "seed": seed}
        if run_config["dataset"] in SPLIT_BY_SEED:
            run_config["split_seed"] = seed
        if run_config["method"] in options.METHODS_WITH_TEACHER:
            run_config["booster_run"] = str(self.root / "booster" / f"seed{seed}")
        run_config = options.with_unread_at_defaults(run_config)
        workdir = root / f"seed{seed}"
        title = f"{self._title}{title}, seed {seed}"
        run, self._data = running.planned(title, run_config, workdir, self._data)
        return run

    def _held_out(self, config):
        self._data = options.check({**config, "evaluate_test": True})
        if self.holds_out:
            if not config["validation_examples"]:
                examples = options.number_of_training_examples(config, self._data.card)
                config["validation_examples"] = max(1, examples // _HELD_OUT)
            config["evaluate_test"] = False
        return config

    def _check_settings(self, settings, candidates):
        own_fields = set(OWN_FIELDS)
        for arm in self._arms.values():
            own_fields |= {*METHODS[arm.method].settings, *arm.settings}
        own_fields |= {"hint", "hint_weight"} if candidates else set()
        if own_fields & set(settings):
            name = min(own_fields & set(settings))
            raise ConfigError(f"--set: got {name}, which the {self.kind_in_messages} itself sets")


def complete(studies, processes=1):
    """Trains the runs of studies side by side, and then opens their test examples.

    Args:
        studies: a list of `Study`s on data of one kind.
        processes: as for `Study.complete`.

    Returns:
        Whether all is done; `False` if runs of other shards are missing.
    """
    with Pool(processes) if processes != 1 else contextlib.nullcontext() as pool:
        while True:
            steps = [(study, study.step()) for study in studies]
            own_runs = [run for study, runs in steps for run in study.shard.own(runs)]
            if all(map(is_done, own_runs)):
                break
            running.complete(
                [run for run in own_runs if not has_diverged(run)],
                studies[0].data,
                diverged=studies[0].diverged,
                pool=pool,
            )
        if not all(is_done(run) for _, runs in steps for run in runs):
            return False
        trained = [run for study in studies if study.holds_out for run in study.comparison()]
        trained = [run for run in trained if not has_diverged(run)]
        final_figures.complete(trained, studies[0].data, pool)
    return True


def _checked(methods):
    """Methods as `Arm`s."""
    arms = [method if isinstance(method, Arm) else Arm(method, method) for method in methods]
    for arm in arms:
        if arm.method not in METHODS:
            raise ConfigError(
                f"--methods: got {arm.method!r}, expected some of {', '.join(METHODS)}, with "
                "commas between"
            )
    if len({arm.name for arm in arms}) < len(arms) or not arms:
        names = ",".join(arm.name for arm in arms)
        raise ConfigError(f"--methods: got {names}, expected each once")
    return arms
