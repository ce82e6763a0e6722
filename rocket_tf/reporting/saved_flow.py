"""The gradient flow of a saved model on a saved batch."""

from rocket_tf.errors import ConfigError


def check_files(model, batch):
    """Raises ConfigError if a file is missing; does not import TensorFlow."""
    for name, path in {"model": model, "batch": batch}.items():
        if not path.is_file():
            raise ConfigError(f"--{name}: {path} does not exist")


def flow_of_files(model_path, batch_path):
    """Computes which loss reaches which part of a model.

    Args:
        model_path: a `RocketModel` saved as .keras.
        batch_path: .npz file with `x` (for several inputs, `x.<name>`), `y` and optionally
            `sample_weight`.

    Returns:
        The result of `rocket_tf.gradient_flow`.

    Raises:
        ConfigError: if a file cannot be read, or the batch does not fit the model.
    """
    import keras
    import numpy as np

    import rocket_tf.core.rocket_model  # noqa: F401  which registers RocketModel with Keras
    from rocket_tf.analysis.gradient_flow import gradient_flow

    try:
        batch = dict(np.load(batch_path))
    except Exception as error:  # zipfile and NumPy raise many kinds of errors
        raise ConfigError(
            f"--batch: {batch_path} cannot be read ({_message(error)}); expected a .npz file"
        ) from None
    try:
        model = keras.models.load_model(model_path)
    except Exception as error:  # zipfile, h5py and Keras raise many kinds of errors
        raise ConfigError(
            f"--model: {model_path} cannot be read ({_message(error)}); expected a RocketModel "
            "saved as .keras"
        ) from None
    # A model with several inputs has an array for each, such as x.user and x.item.
    inputs = {name.removeprefix("x."): batch[name] for name in batch if name.startswith("x.")}
    inputs = inputs or batch.get("x")
    if inputs is None or "y" not in batch:
        raise ConfigError(
            f"--batch: {batch_path} holds {', '.join(batch)}, expected x, y and optionally "
            "sample_weight"
        )
    try:
        return gradient_flow(model, inputs, batch["y"], batch.get("sample_weight"))
    except Exception as error:  # raised by layers for inputs that do not fit
        raise ConfigError(
            f"--model, --batch: do not fit together: {_message(error)}; expected a RocketModel, "
            "and inputs and labels for it"
        ) from None


def _message(error):
    """The message of an exception in one line, shortened."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]} …"
