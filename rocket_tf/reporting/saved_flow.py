"""Gradient flow of a saved model on a saved batch."""

from rocket_tf.errors import ConfigError


def check_files(model, batch):
    """Raises ConfigError unless both files are there; loads no TensorFlow."""
    for name, path in {"model": model, "batch": batch}.items():
        if not path.is_file():
            raise ConfigError(f"--{name}: {path} is not there")


def flow_of_files(model_path, batch_path):
    """Which loss reaches which part of a model.

    Args:
        model_path: a `RocketModel` saved as .keras.
        batch_path: .npz file with `x` (or, for several inputs by name, `x.<name>`), `y` and, if
            wanted, `sample_weight`.

    Returns:
        What `rocket_tf.gradient_flow` gives.

    Raises:
        ConfigError: if one cannot be read, or they do not go together.
    """
    import keras
    import numpy as np

    import rocket_tf.core.rocket_model  # noqa: F401  which registers RocketModel with Keras
    from rocket_tf.analysis.gradient_flow import gradient_flow

    try:
        batch = dict(np.load(batch_path))
    except Exception as error:  # zipfile's and NumPy's, of many kinds
        raise ConfigError(
            f"--batch: {batch_path} cannot be read ({_said(error)}); expected a .npz file"
        ) from None
    try:
        model = keras.models.load_model(model_path)
    except Exception as error:  # zipfile's, h5py's and Keras's, of many kinds
        raise ConfigError(
            f"--model: {model_path} cannot be read ({_said(error)}); expected a RocketModel saved "
            "as .keras"
        ) from None
    # A model with several inputs has an array for each, such as x.user and x.item.
    inputs = {name.removeprefix("x."): batch[name] for name in batch if name.startswith("x.")}
    inputs = inputs or batch.get("x")
    if inputs is None or "y" not in batch:
        raise ConfigError(
            f"--batch: {batch_path} holds {', '.join(batch)}, expected x, y and, if wanted, "
            "sample_weight"
        )
    try:
        return gradient_flow(model, inputs, batch["y"], batch.get("sample_weight"))
    except Exception as error:  # of layers, for what they cannot take
        raise ConfigError(
            f"--model, --batch: do not go together: {_said(error)}; expected a RocketModel and "
            "examples that it takes, with their labels"
        ) from None


def _said(error):
    """What an exception says, in one line that is not too long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]} …"
