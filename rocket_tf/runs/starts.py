"""Where the nets of a run start, which of their layers are frozen, and how fast they learn."""

from rocket_tf import config as options
from rocket_tf.errors import ConfigError
from rocket_tf.networks.weight_sources import problem_of
from rocket_tf.runs import init_runs, records
from rocket_tf.runs.progress import checkpoints_in
from rocket_tf.system import files


def check_weights(config):
    """Checks that the weights from which nets start can be loaded; does not import TensorFlow.

    Args:
        config: a configuration that `config.check_fields` has passed.

    Raises:
        ConfigError: if not; the message says what to do.
    """
    for net in ("booster", "light"):
        weights = config[f"{net}_weights"]
        problem = problem_of(weights, config[f"{net}_backbone"]) if weights else ""
        if problem:
            raise ConfigError(f"config.{net}_weights: got {weights!r}: {problem}")


def prepared(config, folder):
    """A configuration as its run uses it, before its data is read; does not import TensorFlow.

    Args:
        config: a configuration.
        folder: the run's `RunFolder`.

    Returns:
        Dict, with the size of images where the nets decide it.

    Raises:
        ConfigError: if a field is wrong, or the weights that nets start from, of a file or of a
            finished run, cannot be had and no checkpoint has their place.
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
    """What the nets of a run start from, a `Starts`: weights, or a checkpoint in its folder.

    Args:
        config: its checked configuration.
        folder: its `RunFolder`.
    """
    return of_begun(config, folder.nets) if checkpoints_in(folder.checkpoints) else Starts(config)


def of_begun(config, kept):
    """The same of a run that has checkpoints.

    Args:
        config: its configuration.
        kept: path of what `keep` has written.

    Raises:
        ConfigError: if it cannot be read.
    """
    if not (config["booster_weights"] or config["light_weights"]):
        return Starts(config)
    nets = records.read_object(kept)
    if nets is None:
        raise records.damaged(kept, "it is missing")
    return Starts(config, nets)


def keep(starts, folder, booster_folder):
    """Writes down what nets with trained weights are built from, so that a run needs no file.

    Args:
        starts: the run's `Starts`, whose nets are built.
        folder: its `RunFolder`.
        booster_folder: that of the booster which it follows, or `None`.
    """
    if not folder.writes:
        return
    if starts.descriptions:
        files.write_json(folder.nets, starts.descriptions)
    if booster_folder is not None and booster_folder.nets.exists():
        files.write_bytes(folder.nets_of_booster, booster_folder.nets.read_bytes())


class Starts:
    """What the nets of one run start from.

    Args:
        config: its checked configuration.
        kept: what the run's folder has kept of `descriptions`: nets are built from it, with random
            weights, since a checkpoint has the trained ones; `None`: weights are read.

    Attributes:
        descriptions: dict from the nets with trained weights to what they are built from again.
        frozen: layers of the nets that `nets` has built last, which are frozen at the start.
        trained: those that do not start at random.
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
        """The light net and the booster of a configuration that names them.

        Args:
            card: of the run's data, a `rocket_tf.data.DatasetCard`.

        Raises:
            ConfigError: if weights do not fit their net, an image is too small, or there is no
                layer of a name.
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
        except ValueError as error:  # an image too small, or a layer that there is not
            raise ConfigError(f"config.booster_backbone: {error}") from error
        self._find_parts({"booster": booster, "light": light})
        return light, booster

    def freeze(self, epoch):
        """Freezes what is frozen in an epoch, counted from 1, and lets the rest train."""
        from rocket_tf.networks.freezing import set_frozen

        last = self._config["unfreeze_epoch"]
        set_frozen(self.frozen, not last or epoch < last)

    def optimizer(self, optimizer, steps_per_epoch):
        """The optimizer, with the learning rates of what starts trained; it is not built yet."""
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

        It is read once, since files are large.
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
