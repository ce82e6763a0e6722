"""Which fields may differ between a run and its continuation without changing finished work."""

from rocket_tf import config as options
from rocket_tf.optimizers.drops import drop_steps
from rocket_tf.runs.progress import Progress

# These fields decide the learning rate of a step.
_OF_SCHEDULE = ("epochs", "learning_rate_drops")


def refused_changes(before, now, progress, card):
    """The fields in which a configuration differs from its run's but must not.

    These may differ: fields that do not affect results; the number of epochs, upwards, and the
    fractions of them at which the learning rate drops, as long as no finished step would have had
    another learning rate; the number of replicas, if batch statistics are those of the whole batch;
    how often to evaluate, if that does not choose an epoch; and the user's own functions, as long
    as there is no checkpoint.

    Args:
        before: the run's configuration.
        now: the configuration to go on with.
        progress: the run's progress, a `rocket_tf.runs.progress.Progress`.
        card: card of the data of both, a `rocket_tf.data.DatasetCard`.

    Returns:
        A list of texts, each with a field, its two values and, if there is one, a remedy.
    """
    if not now["image_size"]:  # decided by the nets, as before
        now = {**now, "image_size": before["image_size"]}
    allowed = list(options.fields_without_effect(now))
    if progress == Progress():  # a mistake that stopped the first epoch can be fixed
        allowed += ["own_functions", "own_code_sha256"]
    if now["batch_normalization"] == "synchronized":
        allowed.append("replicas")
    if not now["validation_examples"]:
        allowed.append("evaluate_every_epochs")
    changed = options.differences(before, now, allowed)
    if now["epochs"] < before["epochs"]:
        return changed
    if options.differences(before, now, [*allowed, *_OF_SCHEDULE]):
        return changed
    steps = progress.epochs * options.steps_per_epoch(now, card) + progress.steps
    if changed and steps and now["learning_rate_schedule"] == "cosine":
        changed[-1] += ", which would change the cosine of the learning rate, even of past steps"
        return changed
    past_drops, new_drops = (_drops_within(config, steps, card) for config in (before, now))
    if changed and past_drops != new_drops:
        scale = before["epochs"] / now["epochs"]
        scaled_drops = tuple(round(drop * scale, 6) for drop in before["learning_rate_drops"])
        changed[-1] += (
            f", which would move past drops of the learning rate: they were at steps {past_drops}, "
            f"and would be at {new_drops} of the {steps} steps done; "
            f"--config.learning_rate_drops='{scaled_drops}' keeps them"
        )
        return changed
    return []


def _drops_within(config, steps, card):
    """The steps, of a number of steps, at which the learning rate drops."""
    if config["learning_rate_schedule"] != "drops":
        return []
    drops = drop_steps(config["learning_rate_drops"], options.total_steps(config, card))
    return [step for step in drops if step < steps]
