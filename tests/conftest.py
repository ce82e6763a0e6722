"""Settings for all tests: quiet TensorFlow, two logical CPU devices, a seed, float32."""

import gc
import logging
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest
import tensorflow as tf

from rocket_tf.core.tensorflow_internals import custom_gradients_forgotten
from rocket_tf.distribution.strategy import make_strategy
from tests.small_runs import few_digits, few_impressions, quick_runs

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

# `pytest -m core` runs these files, one for each part that a new version of Keras might break.
_CORE = {
    f"test_{name}.py"
    for name in (
        "graph",
        "graph_saving",
        "hint_losses",
        "networks",
        "objective",
        "ranking_metrics",
        "rocket",
        "routing",
        "sparse",
    )
}


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(item.path).name in _CORE:
            item.add_marker("core")


def pytest_collection_finish(session):
    """Freezes all objects so far, so that garbage collection skips TensorFlow's modules."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def same_start():
    """Every test starts with the same seed, and its dtype policy is reset afterwards."""
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(autouse=True, scope="module")
def left_alone():
    """Frees what Keras and TensorFlow still hold from the fits of a file, and freezes the rest."""
    with custom_gradients_forgotten():
        yield
    keras.backend.clear_session()
    logging.getLogger("rocket_tf").propagate = True  # commands turn it off
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def few_test_digits():
    """All runs of a file are evaluated on `few_digits`."""
    with few_digits():
        yield


@pytest.fixture(scope="module")
def few_simulated_clicks():
    """All runs of a file on simulated clicks use `few_impressions`."""
    with few_impressions():
        yield


@pytest.fixture
def untraced():
    """All runs of a test are `quick_runs`."""
    with quick_runs():
        yield


@pytest.fixture
def float64():
    """Computes in float64, so that rounding cannot hide an error."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")


@pytest.fixture(scope="session")
def two_replicas():
    return make_strategy(2)


@pytest.fixture(autouse=True, scope="session")
def kept(tmp_path_factory):
    """The cache of facts about data is in a temporary folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROCKET_TF_CACHE", str(tmp_path_factory.mktemp("kept")))
        yield
