"""What is wrong with data."""


class DataUnavailableError(RuntimeError):
    """Data that is neither on this machine nor to be downloaded; the message names ways out."""


class DamagedDataError(DataUnavailableError):
    """Data that is on this machine and cannot be read; the message names the damaged file."""
