"""A gRPC server for tests that serves an export through TensorFlow Serving's interface.

`python -m tests.serving.prediction_service <SavedModel>` prints its port; it ends with its stdin.
"""

import sys
from concurrent import futures

import grpc
import tensorflow as tf
from google.protobuf import any_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from rocket_tf.errors import LoaderError
from rocket_tf.serving.c_loader import LoadedModel

MODEL, VERSION = "light", 1
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, directory):
        self._model = LoadedModel(directory)
        saved = saved_model_pb2.SavedModel()
        with open(f"{directory}/saved_model.pb", "rb") as file:
            saved.ParseFromString(file.read())
        self._signatures = saved.meta_graphs[0].signature_def

    def Predict(self, request, context):
        _check_model(request, context)
        signature = request.model_spec.signature_name or "serving_default"
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        try:
            outputs = self._model.predict(inputs, signature, list(request.output_filter) or None)
        except LoaderError as error:
            context.abort(_CODES[error.code], str(error))
        response = predict_pb2.PredictResponse(model_spec=_spec(signature))
        for name, array in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(array))
        return response

    def GetModelMetadata(self, request, context):
        _check_model(request, context)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in self._signatures.items():
            signatures.signature_def[name].CopyFrom(signature)
        packed = any_pb2.Any()
        packed.Pack(signatures)
        return get_model_metadata_pb2.GetModelMetadataResponse(
            model_spec=_spec(""), metadata={"signature_def": packed}
        )


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def GetModelStatus(self, request, context):
        _check_model(request, context)
        status = get_model_status_pb2.ModelVersionStatus(
            version=VERSION, state=get_model_status_pb2.ModelVersionStatus.AVAILABLE
        )
        return get_model_status_pb2.GetModelStatusResponse(model_version_status=[status])


def _spec(signature):
    spec = predict_pb2.PredictRequest().model_spec
    spec.name, spec.signature_name = MODEL, signature
    spec.version.value = VERSION
    return spec


def _check_model(request, context):
    if request.model_spec.name != MODEL:
        context.abort(
            grpc.StatusCode.NOT_FOUND,
            f"Servable not found for request: Latest({request.model_spec.name})",
        )


def main():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    service = PredictionService(sys.argv[1])
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(grace=None).wait()


if __name__ == "__main__":
    main()
