"""All errors that commands answer in one line, each with the exit code that it ends them with.

An error of a person's making, in a configuration or on the command line, is a `ConfigError`.
"""


class RocketError(Exception):
    """What a command answers in one line; its message says what was wrong and how to mend it.

    Attributes:
        exit_code: the exit code of a command that it ends.
        answer: what a command says of it, with {} where the message goes.
    """

    exit_code = 1
    answer = "{}"


class ConfigError(RocketError, ValueError):
    """A configuration, or a command line, that cannot be run: field, given, expected, mend."""

    exit_code = 2


class DataUnavailableError(RocketError, RuntimeError):
    """Data that is neither on this machine nor can be downloaded; the message names ways out."""


class DamagedDataError(DataUnavailableError):
    """Data that is on this machine and cannot be read; the message names the damaged file."""


class UnreadableImageError(RocketError, ValueError):
    """A file that is not there, or no image; the message names it."""


class CheckpointError(RocketError, RuntimeError):
    """Checkpoints that cannot be read."""


class NonFiniteLossError(RocketError, FloatingPointError):
    """A loss that is NaN or infinite; the message names step and term."""


class Preempted(RocketError):
    """SIGTERM has come, and what was done is saved; the message says how far."""

    exit_code = 143  # as if SIGTERM had ended the process; schedulers start it again
    answer = "SIGTERM: saved after {}; the same command goes on from there"


class WorkerLostError(RocketError, RuntimeError):
    """Another worker does not answer, or no longer does."""

    exit_code = 138  # which Kubernetes' training operator takes as a reason to start again
    answer = "{}; the same commands go on from the last checkpoint"


class LoaderError(RocketError, RuntimeError):
    """A SavedModel that cannot be loaded, or a request that it cannot answer.

    Attributes:
        code: TensorFlow's status code, which is gRPC's: 3 for an invalid argument, and so on.
    """

    def __init__(self, message, code):
        super().__init__(message)
        self.code = code


class ExportError(RocketError, RuntimeError):
    """An export that cannot be made, or that computes something else than the model."""


class CheckFailed(RocketError):
    """A check of an export that did not pass; the message says why."""

    answer = "failed: {}"


class ProcessEnded(RocketError, RuntimeError):
    """A process that this one started has ended too early; the message has its last line."""
