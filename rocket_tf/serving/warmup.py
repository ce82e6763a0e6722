"""Warm-up requests, which TensorFlow Serving runs through a model before it takes traffic."""

from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from rocket_tf.system import files

FILE = Path("assets.extra/tf_serving_warmup_requests")


def write(directory, requests):
    """Writes the warm-up requests of a SavedModel.

    Args:
        directory: the SavedModel's folder.
        requests: dict from signatures to dicts from input names to arrays.
    """
    path = Path(directory) / FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.signature_name = signature
            for name, array in inputs.items():
                request.inputs[name].CopyFrom(_as_proto(array))
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString())


def _as_proto(array):
    """An array as a message; an array of one repeated value is stored once."""
    array = np.asarray(array)
    first = array.flat[0] if array.size else None
    if array.size > 1 and np.all(array == first):
        return tf.make_tensor_proto(first, tf.as_dtype(array.dtype), array.shape)
    return tf.make_tensor_proto(array)


def read(directory):
    """The warm-up requests of a SavedModel.

    Args:
        directory: the SavedModel's folder.

    Returns:
        List of `(signature, inputs)`, the inputs as a dict from names to arrays; empty without
        the file.

    Raises:
        ValueError: if the file is damaged, or holds anything but such requests.
    """
    path = Path(directory) / FILE
    if not path.exists():
        return []
    requests = []
    try:
        files.check_regular(path)
        for record in tf.data.TFRecordDataset(str(path)):
            log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
            request = log.predict_log.request
            inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
            requests.append((request.model_spec.signature_name, inputs))
    except Exception as error:  # from TensorFlow's reader and from the parser
        raise ValueError(f"{path} is damaged ({type(error).__name__})") from error
    return requests
