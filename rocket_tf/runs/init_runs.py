"""Starts a run from a finished one, such as the day before's.

It takes over that run's nets: their weights, the moments by which they scale numbers, and the rows
of known ids. A counted vocabulary grows: new ids get rows behind the old ones. Before the first
step, the old nets, which do not know these ids, are evaluated on the new data; `before.json` keeps
the figures. Once there is a checkpoint, the old run is no longer needed.

Only `start` imports TensorFlow.
"""

import dataclasses
import hashlib

from rocket_tf import config as options
from rocket_tf.config.read_by import BUILT_IN_NETS, CLICK_NETS
from rocket_tf.data import open_data
from rocket_tf.data.known import WithCard
from rocket_tf.errors import ConfigError
from rocket_tf.runs import records
from rocket_tf.runs.folder import RunFolder
from rocket_tf.runs.progress import Progress, checkpoints_in
from rocket_tf.system import files


def check(config):
    """Checks that the run from which another starts is finished and has the same nets.

    Args:
        config: a checked configuration with `init_run`.

    Raises:
        ConfigError: if not.
    """
    path, folder = config["init_run"], RunFolder(config["init_run"])
    if not folder.holds_run():
        raise _refusal(path, "holds no run (no config.json)")
    old = folder.read_config()
    if folder.read_summary() is None:
        raise _refusal(path, "holds a run that is not finished; finish it with its own command")
    if not CLICK_NETS.reads(old):
        kind = "nets of its own" if old["own_functions"] else f"dataset={old['dataset']}"
        raise _refusal(path, f"holds a run with {kind}, not the built-in nets on clicks")
    net_fields = [
        n for n, field in options.FIELDS.items() if field.read_by in (BUILT_IN_NETS, CLICK_NETS)
    ]
    ignored = [name for name in options.FIELDS if name not in (*net_fields, "method", "features")]
    _check_same(path, options.differences(old, config, ignored))


def with_old_scales(config, folder, data):
    """The data of a run with a card for the old run's nets: it has that run's moments of numbers.

    Vocabularies begin with the old run's values, followed by those that only the new data has.

    Args:
        config: the run's checked configuration.
        folder: its `RunFolder`.
        data: its data, a `rocket_tf.data.DataSet`.

    Returns:
        A `rocket_tf.data.DataSet`; `data` itself if the run does not start from another.

    Raises:
        ConfigError: if nets that read the old run's columns cannot read these.
    """
    if not config["init_run"]:
        return data
    if checkpoints_in(folder.checkpoints):
        known = folder.known_data(config)
        return data if known is None else WithCard(data, known.card)
    old, path = _old_card(config), config["init_run"]
    before, now = (_columns_of_nets(card) for card in (old, data.card))
    _check_same(path, [f"{n}: {before[n]!r} → {now[n]!r}" for n in now if before[n] != now[n]])
    numbers = data.card.columns.numbers
    columns = data.card.columns
    for name in (*columns.categories, *numbers, *(column.name for column in columns.lists)):
        dtype, old_dtype = data.card.dtypes[name], old.dtypes[name]
        # A net casts numbers to its own float dtype, as it does with a server's requests.
        if dtype != old_dtype and not (name in numbers and old_dtype.startswith("float")):
            raise _refusal(
                path, f"holds a run whose nets read {name!r} as {old_dtype}, here {dtype}"
            )
    old_dtypes = {name: old.dtypes[name] for name in numbers}
    card = dataclasses.replace(
        data.card,
        dtypes={**data.card.dtypes, **old_dtypes},
        moments={name: old.moments[name] for name in numbers},
        vocabularies={
            name: _continued(values, data.card.vocabularies.get(name, ()))
            for name, values in old.vocabularies.items()
        },
    )
    return WithCard(data, card)


def _old_card(config):
    """The card of the data of the run that one starts from."""
    folder = RunFolder(config["init_run"])
    old_config = folder.read_config()
    return (folder.known_data(old_config) or open_data(old_config)).card


def _continued(known, values):
    """The known values of a vocabulary, followed by the new ones of another."""
    known_values = set(known)
    return (*known, *(value for value in values if value not in known_values))


def start(run, progress):
    """Loads the old run's weights into the nets of a new run, and evaluates them.

    All workers must call it. The figures are kept at once, so a run that is killed afterwards does
    not evaluate again.

    Args:
        run: a `rocket_tf.runs.fitting.Run`.
        progress: its progress, a `Progress`.

    Raises:
        ConfigError: if the old run has changed since it was evaluated, or figures are missing.
        CheckpointError: if its checkpoint is missing or damaged.
    """
    config, folder = run.config, run.folder
    if not config["init_run"]:
        return
    from rocket_tf.runs.finished import restore_result
    from rocket_tf.runs.summary import figures_now

    before = records.read_object(_kept_in(folder))
    if progress != Progress():
        if before is None:
            raise records.damaged(_kept_in(folder), "it is missing")
        return
    old = RunFolder(config["init_run"], folder.writes)
    with old.undisturbed():
        old_config = old.read_config()
        weights = _checksum(old_config, old)
        if before is not None and before["weights"] != weights:
            raise ConfigError(
                f"config.init_run: {old.path} does not have the weights with which the run in "
                f"{folder.path} began; put them back, or give this run another --workdir"
            )
        new_rows = _new_rows(run)

        def restore(rows):
            with run.strategy.scope():
                restore_result(run.model, old_config, old, rows)

        if run.of_any_worker(folder.writes and before is None):
            # New ids get the row of unknown ids, so the nets compute the same as in the old run.
            restore({key: dataclasses.replace(rows, rows=None) for key, rows in new_rows.items()})
            if run.verbose:
                print(f"Evaluating the nets of {old.path} on the new data", flush=True)
            figures = figures_now(run)
            if folder.writes:
                files.write_json(_kept_in(folder), {"weights": weights, "figures": figures})
            if not new_rows:
                return
        restore(new_rows)


def _new_rows(run):
    """The rows for ids that are new to the old run, with their initial values.

    Args:
        run: a `rocket_tf.runs.fitting.Run` whose nets have their initial weights.

    Returns:
        Dict as `checkpoints.restore_weights` takes it.
    """
    from rocket_tf.runs.checkpoints import NewRows

    old = _old_card(run.config).vocabularies
    new_rows = {}
    for name, values in run.data.card.vocabularies.items():
        begin, number = 1 + len(old[name]), len(values) - len(old[name])
        if not number:
            continue
        for net in filter(None, (run.model.light, run.model.booster)):
            for owner in ("shared", "light", "booster"):
                for layer in net.layers:
                    if layer.name == f"{owner}_{name}_embedding":
                        table = layer.embeddings.value
                        rows = table[begin : begin + number].numpy()
                        new_rows[id(table)] = NewRows(begin, number, rows)
    return new_rows


def figures_before(folder):
    """The figures of the old nets on the new data: dicts by net; `None` for a run from scratch."""
    content = records.read_object(_kept_in(folder))
    return None if content is None else content["figures"]


def _kept_in(folder):
    return folder.path / "before.json"


def _checksum(config, folder):
    """A fingerprint of a finished run's weights: its index has a checksum of each tensor."""
    from rocket_tf.runs.finished import result_checkpoint

    path = result_checkpoint(config, folder)
    try:
        content = files.read_bytes(path.with_name(f"{path.name}.index"))
    except OSError as error:
        raise _refusal(folder.path, f"lacks its checkpoint {path.name}") from error
    return hashlib.sha256(content).hexdigest()[:16]


def _columns_of_nets(card):
    """The properties of a click log that nets depend on, by the names of fields."""
    columns = card.columns
    return {
        "category_columns": columns.categories,
        "number_columns": columns.numbers,
        "history_column": columns.history,
        "history_length": columns.history_length if columns.history else None,
        "item_column": columns.item if columns.history else None,
        "missing_values": "own_row" if columns.missing else "refuse",
        "label_columns": columns.outputs,
    }


def _check_same(path, different):
    if different:
        raise _refusal(path, f"holds a run of other nets ({'; '.join(different)})")


def _refusal(path, problem):
    return ConfigError(
        f"config.init_run: {path} {problem}; expected the folder of a finished run with the same "
        "nets"
    )
