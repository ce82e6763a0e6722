"""Which processes train together, read from TF_CONFIG without importing TensorFlow."""

import dataclasses
import json
import os
import re
import socket
import time
from collections import Counter

from rocket_tf.errors import ConfigError, WorkerLostError

_SECONDS_TO_COME = 600
_SECONDS_BETWEEN_CALLS = 0.5
_SECONDS_BETWEEN_NEWS = 30
_SECONDS_TO_ANSWER = 2

_EXAMPLE = (
    'such as {"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a training, the chief first, and which of them this process is.

    Attributes:
        addresses: "host:port" of each.
        worker: the position of this process among them, counted from 0.
    """

    addresses: tuple[str, ...] = ("localhost",)
    worker: int = 0

    @property
    def is_chief(self):
        """Whether this process writes the files."""
        return self.worker == 0

    def describe(self):
        """This process in words, such as "worker 1 of 2 (host1:2222)", counted from 0."""
        return f"worker {self.worker} of {len(self.addresses)} ({self.addresses[self.worker]})"


def read_cluster():
    """The cluster that the environment variable TF_CONFIG describes; without it, one process.

    Returns:
        A `Cluster`.

    Raises:
        ConfigError: if TF_CONFIG does not describe workers with this process among them.
    """
    text = os.environ.get("TF_CONFIG", "")
    if not text.strip():
        return Cluster()
    try:
        described = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _error(f"invalid JSON ({error})", _EXAMPLE) from None
    jobs = described.get("cluster") if isinstance(described, dict) else None
    if not jobs:
        return Cluster()  # as TensorFlow takes it
    if not isinstance(jobs, dict) or not set(jobs) <= {"chief", "worker"}:
        raise _error(f"cluster {jobs}", f"workers, and a chief at most, {_EXAMPLE}")
    addresses = {job: jobs.get(job, []) for job in ("chief", "worker")}
    for job, hosts in addresses.items():
        if not isinstance(hosts, list) or not all(map(_is_address, hosts)):
            raise _error(f"cluster.{job} {hosts}", "a list of host:port")
    for address, times in Counter(addresses["chief"] + addresses["worker"]).items():
        if times > 1:
            raise _error(f"{address} for {times} workers", "an address of its own for each")
    if len(addresses["chief"]) > 1:
        raise _error(f"{len(addresses['chief'])} chiefs", "one at most")
    task = described.get("task")
    job, index = (task.get("type"), task.get("index")) if isinstance(task, dict) else (None, None)
    if (
        not isinstance(job, str)
        or job not in addresses
        or type(index) is not int
        or not 0 <= index < len(addresses[job])
    ):
        raise _error(f"task {task}", f"one of the cluster's, {jobs}")
    return Cluster(
        (*addresses["chief"], *addresses["worker"]),
        index if job == "chief" else len(addresses["chief"]) + index,
    )


def wait_for_all(cluster, seconds=_SECONDS_TO_COME, tell=print):
    """Waits until all workers of a cluster listen at their addresses.

    TensorFlow itself would wait forever, ignoring signals.

    Args:
        cluster: a `Cluster` of several.
        seconds: time to wait.
        tell: called from time to time with a line about the progress.

    Raises:
        ConfigError: if this worker cannot listen on its own port.
        WorkerLostError: if some workers do not come in time.
    """
    own_address = cluster.addresses[cluster.worker]
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", _host_and_port(own_address)[1]))
            listener.listen(len(cluster.addresses))
        except OSError as error:
            raise _error(
                f"{own_address} for this worker ({error})", "a port that is free here"
            ) from None
        missing = [address for address in cluster.addresses if address != own_address]
        began = reported = time.monotonic()
        while missing := [address for address in missing if not _answers(address)]:
            now = time.monotonic()
            if now - began > seconds:
                raise WorkerLostError(
                    f"{cluster.describe()} has waited {seconds} s for {', '.join(missing)}"
                )
            if now - reported > _SECONDS_BETWEEN_NEWS:
                tell(f"Still waiting for {', '.join(missing)}", flush=True)
                reported = now
            time.sleep(_SECONDS_BETWEEN_CALLS)


def _is_address(host):
    if not isinstance(host, str) or not re.fullmatch(r"\S+:\d{1,5}", host, re.ASCII):
        return False
    name, port = _host_and_port(host)
    try:
        name.encode("idna")
    except UnicodeError:  # an empty part, as in a..b, or one that is too long
        return False
    return 0 < port < 2**16


def _answers(address):
    try:
        socket.create_connection(_host_and_port(address), timeout=_SECONDS_TO_ANSWER).close()
    except (OSError, UnicodeError):  # also if the host's name does not exist yet, or is invalid
        return False
    return True


def _host_and_port(address):
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _error(value, expected):
    value = value if len(value) <= 200 else f"{value[:200]} …"
    return ConfigError(
        f"TF_CONFIG: got {value}, expected {expected}; mend the environment variable, or unset it "
        "to train on this machine alone"
    )
