"""All errors that commands report in one line, each with the exit code of the command.

A mistake in a configuration or on the command line is a `ConfigError`.
"""


class RocketError(Exception):
    """An error that a command reports in one line: what is wrong, and how to fix it.

    Attributes:
        exit_code: the exit code of a command that ends with this error.
        answer: the line that a command prints, with {} in place of the message.
    """

    exit_code = 1
    answer = "{}"


class ConfigError(RocketError, ValueError):
    """A configuration or command line that cannot be run: field, given, expected, how to fix it."""

    exit_code = 2


class DataUnavailableError(RocketError, RuntimeError):
    """Data that is not on this machine and cannot be downloaded; the message says what to do."""


class DamagedDataError(DataUnavailableError):
    """Data on this machine that cannot be read; the message names the damaged file."""


class UnreadableImageError(RocketError, ValueError):
    """A file that is missing or not an image; the message names it."""


class CheckpointError(RocketError, RuntimeError):
    """Checkpoints that cannot be read."""


class NonFiniteLossError(RocketError, FloatingPointError):
    """A loss that is NaN or infinite; the message names step and term."""


class Preempted(RocketError):
    """SIGTERM was received, and the progress is saved; the message says how far it is."""

    exit_code = 143  # as if SIGTERM had ended the process; schedulers start it again
    answer = "SIGTERM: saved after {}; the same command goes on from there"


class WorkerLostError(RocketError, RuntimeError):
    """Another worker does not answer, or no longer does."""

    exit_code = 138  # for which Kubernetes' training operator starts a worker again
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
    """An export that cannot be made, or that does not compute what the model computes."""


class CheckFailed(RocketError):
    """A check of an export has failed; the message says why."""

    answer = "failed: {}"


class ProcessEnded(RocketError, RuntimeError):
    """A child process has ended too early; the message has its last line."""
