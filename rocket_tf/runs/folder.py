"""Reads and writes the files of a run's folder."""

import contextlib
import functools
import os
import re
from pathlib import Path

from rocket_tf import config as options
from rocket_tf.config import own_code
from rocket_tf.data import catalog
from rocket_tf.data.known import KnownDataSet
from rocket_tf.errors import ConfigError
from rocket_tf.runs import locks, records
from rocket_tf.runs.progress import Progress, checkpoints_in
from rocket_tf.runs.resuming import refused_changes
from rocket_tf.system import files
from rocket_tf.system.places import check_folder

# The fields in which a booster's run must match the run that follows it, and in addition one whose
# light net starts from a copy of its layers.
_MATCHED_BY_BOOSTER = ("method", "dataset", "split_seed", "label_columns", "simulated_bought")
_MATCHED_BY_COPY = (
    "layout",
    "booster_depth",
    "width",
    "share",
    "own_functions",
    "own_code_sha256",
)

# The folders of exports in a run's folder.
_EXPORTS = ("light", "litert", "onnx", "keras")


class RunFolder:
    """A run as a folder.

    Attributes:
        path: the folder.
        checkpoints, chosen, pictures, tensorboard, light: folders in it; `chosen` holds the
            checkpoint that validation chose, `light` the exported versions.
        own_code, own_code_of_booster: files in it: copies of the user's code for this run, and for
            the run whose booster it follows, if there is any.
        nets, nets_of_booster: files in it from which nets with trained weights are built.
        writes: whether this process writes its files; of several workers, only the chief does.
    """

    def __init__(self, path, writes=True):
        self.path = Path(path)
        self.writes = writes
        self.checkpoints = self.path / "checkpoints"
        self.chosen = self.path / "chosen"
        self.pictures = self.path / "pictures"
        self.tensorboard = self.path / "tensorboard"
        self.light = self.path / "light"
        self.own_code = self.path / "own_code.py"
        self.own_code_of_booster = self.path / "own_code_of_booster.py"
        self.nets = self.path / "nets.json"
        self.nets_of_booster = self.path / "nets_of_booster.json"
        self._config = self.path / "config.json"
        self._metrics = self.path / "metrics.jsonl"
        self._followed = self.path / "booster.json"
        self._summary = self.path / "summary.json"
        self._data = self.path / "data.json"
        self._card = self.path / "data_card.json"

    def check(self, config, data):
        """Checks that a run with this configuration can start, or go on, in the folder.

        Args:
            config: a checked configuration.
            data: its data, a `rocket_tf.data.DataSet`.

        Raises:
            ConfigError: if the folder is a file, holds a run with another configuration, or has a
                path that TensorFlow cannot use.
        """
        if re.match(r"[A-Za-z][\w+.-]+:/", str(self.path)):
            raise ConfigError(
                f"--workdir: got a URL, {self.path}, expected a folder of this machine, which may "
                "be a mounted one; name another"
            )
        if set("*?[]\\") & set(str(self.path)):
            raise ConfigError(
                f"--workdir: got {str(self.path)!r}, expected a path without * ? [ ] and \\, in "
                "which TensorFlow sees patterns when it reads checkpoints; name another"
            )
        check_folder("--workdir", self.path)
        if self.holds_run():
            progress = max(checkpoints_in(self.checkpoints), default=Progress())
            before = self.read_config()
            different = refused_changes(before, config, progress, data.card)
            if different:
                older = options.is_before_0_2(before) and not options.is_before_0_2(config)
                raise ConfigError(
                    f"--workdir: {self.path} holds a run with other settings "
                    f"({'; '.join(different)}); give this one another --workdir"
                    + ("; that run follows the recipe before 0.2" if older else "")
                    + self._way_back_to_own_code(before, config)
                )
            self.check_data(config, data)
        else:
            self._check_begun()
        booster_folder = self.booster_folder(config)
        if booster_folder is not None:
            booster_folder.config_of_booster(config, data)
            self._check_followed(booster_folder)

    def _check_begun(self):
        """Checks that there are no files of a run without its configuration."""
        remains = [path for path in (self._summary, self._metrics) if path.exists()]
        remains += [self.checkpoints] if checkpoints_in(self.checkpoints) else []
        if remains:
            raise ConfigError(
                f"--workdir: {self.path} has {remains[0].name} of a run, but no config.json, so it "
                "is not known which run it is; put that back, or name another folder"
            )

    def _way_back_to_own_code(self, before, now):
        """The message for a run whose own functions have changed since it began."""
        if before["own_code_sha256"] in ("", now["own_code_sha256"]):
            return ""
        path = now["own_code"] or "the configuration file"
        return f", or put back its own functions: cp {self.own_code} {path}"

    def check_data(self, config, data):
        """Checks by its fingerprint that the data is still that of the training.

        Args:
            config: a checked configuration.
            data: its data, a `rocket_tf.data.DataSet`.

        Raises:
            ConfigError: if it is not.
        """
        self._check_fingerprint(config, data.fingerprint or {})

    def known_data(self, config):
        """The data of the run in the folder; nothing is read before a split is used.

        Args:
            config: the run's configuration.

        Returns:
            A `rocket_tf.data.DataSet`, or `None` if the run has kept no card of its data.

        Raises:
            ConfigError: if the card cannot be read.
        """
        content = records.read_object(self._card)
        if content is None:
            return None
        try:
            card, class_names = catalog.from_json(content["card"]), list(content["class_names"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise records.damaged(self._card, f"{type(error).__name__}: {error}") from error
        check = functools.partial(self._check_fingerprint, config)
        fingerprint = records.read_object(self._data) or {}
        return KnownDataSet(config, card, class_names, check, fingerprint)

    def _check_fingerprint(self, config, now):
        before = records.read_object(self._data)
        if before is None:
            return
        different = [
            f"{name}: {before.get(name)} → {now[name]}"
            for name in now
            # A run from before 0.2 has a checksum of pixels, not of files.
            if before.get(name) != now[name] and (name in before or "checksum" not in before)
        ]
        if different:
            raise ConfigError(
                f"config.data_path: {config['data_path']} has changed since the run in {self.path} "
                f"was trained ({'; '.join(different)}); put back what was there, or train anew in "
                "another --workdir"
            )

    @contextlib.contextmanager
    def owned(self):
        """Makes the folder, and keeps other processes from training in it while this one runs.

        Read the folder's state only within this context: until then, another process may train
        here. Half-written files of killed processes are removed.

        Raises:
            ConfigError: if another process trains in it, or reads it within `undisturbed`.
        """
        if not self.writes:
            yield
            return
        self.path.mkdir(parents=True, exist_ok=True)
        with locks.owned(self.path):
            for folder in (self.path, self.pictures, *(self.path / kind for kind in _EXPORTS)):
                files.clear_partial(folder)
            yield

    def undisturbed(self):
        """Keeps other processes from training in the folder while this one reads it.

        Several may read it at once. There is no lock if this version has not trained in the folder,
        or if the file system has no locks.

        Raises:
            ConfigError: if another process trains in it.
        """
        return locks.undisturbed(self.path) if self.writes else contextlib.nullcontext()

    def booster_folder(self, config):
        """The folder of the run that trains the booster to follow; `None` without such a run."""
        if config["method"] not in options.METHODS_WITH_TEACHER:
            return None
        return RunFolder(config["booster_run"] or self.path / "booster", self.writes)

    def begin(self, config, data, booster_folder, progress):
        """Records what is trained here, and removes records of epochs that will be repeated.

        Args:
            config: the run's configuration.
            data: its data, a `rocket_tf.data.DataSet`.
            booster_folder: the folder of the run whose booster it follows, or `None`.
            progress: its progress.
        """
        if not self.writes:
            return
        # First, or a longer run would look finished because a shorter one was.
        self._summary.unlink(missing_ok=True)
        if config["own_functions"]:
            files.write_bytes(self.own_code, own_code.read(config, self.own_code)[0])
        self.write_config(config)
        if data.fingerprint is not None:
            files.write_json(self._data, data.fingerprint)
            card = {"card": catalog.as_json(data.card), "class_names": list(data.class_names)}
            files.write_json(self._card, card)
        if booster_folder is not None:
            files.write_json(self._followed, booster_folder.as_booster())
            if booster_folder.own_code.exists():
                files.write_bytes(self.own_code_of_booster, booster_folder.own_code.read_bytes())
        lines = [line for line in self.read_metrics() if line["epoch"] <= progress.epochs]
        epochs = [line["epoch"] for line in lines]
        if epochs != list(range(1, progress.epochs + 1)):
            raise records.damaged(
                self._metrics,
                f"it has the epochs {options.shortened(str(epochs))}, and the checkpoint is of "
                f"epoch {progress.epochs}",
            )
        if self._metrics.exists():
            files.write_text(self._metrics, "".join(f"{files.as_json(line)}\n" for line in lines))

    def read_followed(self):
        """The booster that this run follows, as `as_booster` gives it, or `None`."""
        followed = records.read_object(self._followed)
        if followed is not None:
            # It lacks the fields that a booster does not read.
            records.checked_config(followed["config"], self._followed)
        return followed

    def as_booster(self):
        """What identifies the booster of this finished run: its configuration and error."""
        config = self.read_config()
        free = options.fields_without_effect(config)
        return {
            "config": {name: config[name] for name in options.FIELDS if name not in free},
            "test_error": _error(self.read_summary()["booster"]),
        }

    def _check_followed(self, booster_folder):
        followed = self.read_followed()
        if followed is None or booster_folder.read_summary() is None:
            return
        now = booster_folder.as_booster()
        before = options.with_older_fields(followed["config"])
        ignored = [name for name in options.FIELDS if name not in now["config"]]
        if now["test_error"] != followed["test_error"] or options.differences(
            before, now["config"], ignored
        ):
            raise ConfigError(
                f"config.booster_run: {self.path} follows another booster than that of "
                f"{booster_folder.path} (test error {followed['test_error']} %); name its folder, "
                "or give this run another --workdir"
            )

    def config_of_booster(self, config, data):
        """The configuration of this run, whose booster another run follows.

        Args:
            config: the other run's configuration.
            data: its data, a `rocket_tf.data.DataSet`.

        Raises:
            ConfigError: if this folder is a file, or holds a run whose booster does not fit.
        """
        if not self.holds_run():
            trained = options.booster_config(config)
            self.check(trained, data)
            return trained
        trained = self.read_config()
        matched = _MATCHED_BY_BOOSTER
        if config["method"] == "no_joint_training":
            matched += _MATCHED_BY_COPY
        if config["validation_examples"]:
            # Otherwise the booster may have trained on the examples that choose the epoch.
            matched += ("validation_examples", "train_examples")
        ignored = [name for name in options.FIELDS if name not in matched]
        # The bottom layout has the booster of the interval layout.
        actual = {**trained, **options.booster_settings(trained), "method": trained["method"]}
        expected = {**config, **options.booster_settings(config)}
        different = options.differences(actual, expected, ignored)
        if different:
            raise ConfigError(
                f"config.booster_run: {self.path} holds a run whose booster does not fit "
                f"({'; '.join(different)}); name another folder; in a new one, it is trained"
            )
        return trained

    def write_config(self, config):
        """Makes the folder and writes `config.json`."""
        files.write_json(self._config, {name: config[name] for name in options.FIELDS})

    def holds_run(self):
        """Whether a run has begun in the folder."""
        return self._config.exists()

    def read_config(self):
        """The configuration of the run in the folder.

        Raises:
            ConfigError: if the folder holds no run, or its configuration cannot be read.
        """
        config = records.read_config(self._config)
        if config is None:
            raise ConfigError(
                f"--workdir: {self.path} holds no run (no config.json); train one there first"
            )
        return config

    def read_summary(self):
        """The summary of a finished run, or `None`.

        Raises:
            ConfigError: if the summary cannot be read.
        """
        return records.read_summary(self._summary)

    def read_summary_of(self, config):
        """The summary, or `None` if the run is not finished with this configuration's epochs."""
        if self.holds_run() and self.read_config()["epochs"] != config["epochs"]:
            return None
        return self.read_summary()

    def read_finished(self):
        """Configuration and summary of a finished run.

        Raises:
            ConfigError: if the folder holds no run, or one that is not finished.
        """
        config, summary = self.read_config(), self.read_summary()
        if summary is None:
            raise ConfigError(
                f"--workdir: the run in {self.path} is not finished; finish it with the command "
                "that began it"
            )
        return config, summary

    def write_summary(self, summary):
        """Writes `summary.json`, which marks the run as finished."""
        files.write_json(self._summary, summary)

    def newest_export(self):
        """The folder of the light net's newest exported version, or `None`."""
        return files.newest_version(self.light)

    def append_metrics(self, line):
        """Adds an epoch's metrics, a dict, to `metrics.jsonl`."""
        if not self.writes:
            return
        with self._metrics.open("a") as file:
            file.write(f"{files.as_json(line)}\n")
            file.flush()
            os.fsync(file.fileno())

    def read_metrics(self):
        """The metrics of all finished epochs, a list of dicts; undefined ones are NaN.

        Raises:
            ConfigError: if they cannot be read.
        """
        return records.read_metrics(self._metrics)

    def metrics_of(self, epoch):
        """The metrics of one epoch, a dict; raises ConfigError if there are none."""
        for line in self.read_metrics():
            if line["epoch"] == epoch:
                return line
        raise records.damaged(self._metrics, f"it has no line of epoch {epoch}")


def _error(figures):
    """A net's test error; its validation error if the test examples are not evaluated."""
    return figures.get("test_error", figures.get("validation_error"))
