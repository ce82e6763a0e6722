"""The initial weights of a run's nets, their frozen layers, and their learning rates."""

from rocket_tf import config as options
from rocket_tf.errors import ConfigError
from rocket_tf.networks.weight_sources import problem_of
from rocket_tf.runs import init_runs, records
from rocket_tf.runs.progress import checkpoints_in
from rocket_tf.system import files


def check_weights(config):
    """Checks that the nets' initial weights can be loaded; does not import TensorFlow.

    Args:
        config: a configuration that `config.check_fields` has passed.

    Raises:
        ConfigError: if they cannot; the message says what to do.
    """
    for net in ("booster", "light"):
        weights = config[f"{net}_weights"]
        problem = problem_of(weights, config[f"{net}_backbone"]) if weights else ""
        if problem:
            raise ConfigError(f"config.{net}_weights: got {weights!r}: {problem}")


def prepared(config, folder):
    """The configuration that a run uses, before its data is read; does not import TensorFlow.

    Args:
        config: a configuration.
        folder: the run's `RunFolder`.

    Returns:
        Dict, with the size of images if the nets decide it.

    Raises:
        ConfigError: if a field is invalid, or if the initial weights (from a file or a finished
            run) are not available and no checkpoint replaces them.
    """
    config = options.with_plain(config)
    options.check_fields(config)
    if folder.holds_run() and not config["image_size"]:
        config = {**config, "image_size": folder.read_config()["image_size"]}
    if not checkpoints_in(folder.checkpoints):
        check_weights(config)
        if config["init_run"]:
            init_runs.check(config)
    return options.with_image_size(config)


def of(config, folder):
    """The `Starts` of a run, whose nets start from weights or from a checkpoint in its folder.

    Args:
        config: its checked configuration.
        folder: its `RunFolder`.
    """
    return of_begun(config, folder.nets) if checkpoints_in(folder.checkpoints) else Starts(config)


def of_begun(config, kept):
    """The `Starts` of a run that has checkpoints.

    Args:
        config: its configuration.
        kept: path of the file that `keep` wrote.

    Raises:
        ConfigError: if the file cannot be read.
    """
    if not (config["booster_weights"] or config["light_weights"]):
        return Starts(config)
    nets = records.read_object(kept)
    if nets is None:
        raise records.damaged(kept, "it is missing")
    return Starts(config, nets)


def keep(starts, folder, booster_folder):
    """Saves descriptions of nets with trained weights, so that a run no longer needs their files.

    Args:
        starts: the run's `Starts`; its nets have been built.
        folder: its `RunFolder`.
        booster_folder: folder of the booster that it follows, or `None`.
    """
    if not folder.writes:
        return
    if starts.descriptions:
        files.write_json(folder.nets, starts.descriptions)
    if booster_folder is not None and booster_folder.nets.exists():
        files.write_bytes(folder.nets_of_booster, booster_folder.nets.read_bytes())


class Starts:
    """The start of a run's nets: initial weights, frozen layers, learning rates.

    Args:
        config: its checked configuration.
        kept: the `descriptions` saved in the run's folder. Nets are built from them with random
            weights, since a checkpoint has the trained ones. `None`: weights are read.

    Attributes:
        descriptions: dict from nets with trained weights to descriptions from which they can be
            built again.
        frozen: layers that are frozen at the start, of the nets that `nets` built last.
        trained: layers of these nets that start with trained weights.
    """

    def __init__(self, config, kept=None):
        self._config = config
        self._starts = {}
        self._kept = kept
        self.frozen, self.trained = [], []

    @property
    def descriptions(self):
        return {net: start.description for net, start in self._starts.items()}

    def nets(self, card):
        """The light net and the booster that the configuration names.

        Args:
            card: card of the run's data, a `rocket_tf.data.DatasetCard`.

        Raises:
            ConfigError: if weights do not fit their net, images are too small, or a named layer
                does not exist.
        """
        from rocket_tf.networks import backbone_pair

        config = self._config
        booster, light = (self._start(net, card.image_shape) for net in ("booster", "light"))
        try:
            light, booster = backbone_pair(
                light,
                booster,
                card.num_classes,
                card.image_shape,
                config["branch_layer"],
                config["booster_dropout"],
            )
        except ValueError as error:  # images are too small, or a layer does not exist
            raise ConfigError(f"config.booster_backbone: {error}") from error
        self._find_parts({"booster": booster, "light": light})
        return light, booster

    def freeze(self, epoch):
        """Freezes the layers that are frozen in an epoch, counted from 1; the others train."""
        from rocket_tf.networks.freezing import set_frozen

        last = self._config["unfreeze_epoch"]
        set_frozen(self.frozen, not last or epoch < last)

    def optimizer(self, optimizer, steps_per_epoch):
        """Sets learning rates of layers with trained weights in an optimizer that is not built."""
        from rocket_tf.optimizers.part_rates import with_part_rates

        config = self._config
        factor, late = config["pretrained_learning_rate_factor"], config["unfreeze_epoch"]
        if factor == 1 and not late:
            return optimizer
        trained, frozen = (
            {id(variable) for layer in layers for variable in layer.variables}
            for layers in (self.trained, self.frozen)
        )
        return with_part_rates(
            optimizer,
            lambda variable: factor if id(variable) in trained else 1.0,
            lambda variable: bool(late) and id(variable) in frozen,
            (late - 1) * steps_per_epoch if late else 0,
        )

    def _start(self, net, image_shape):
        """A `pretrained.Start`, or the name of a net with random weights; empty if there is none.

        Each file is read only once, since it may be large.
        """
        from rocket_tf.networks import pretrained

        config = self._config
        weights, backbone = config[f"{net}_weights"], config[f"{net}_backbone"]
        if not weights:
            return backbone
        if net in self._starts:
            return self._starts[net]
        if self._kept is not None:
            start = pretrained.Start(self._kept[net])
        else:
            preprocessing = config[f"{net}_preprocessing"]
            try:
                start = pretrained.load(weights, backbone, image_shape, preprocessing)
            except ValueError as error:
                raise ConfigError(f"config.{net}_weights: got {weights!r}: {error}") from error
        self._starts[net] = start
        return start

    def _find_parts(self, nets):
        from rocket_tf.networks import freezing, pretrained

        self.frozen, self.trained = [], []
        for role, net in nets.items():
            if role in self._starts:
                self.trained += pretrained.trained_layers(self._starts[role], net)
            name = self._config[f"{role}_freeze_until"]
            if not name:
                continue
            try:
                self.frozen += freezing.layers_until(net, name)
            except ValueError as error:
                raise ConfigError(f"config.{role}_freeze_until: got {name!r}: {error}") from error
