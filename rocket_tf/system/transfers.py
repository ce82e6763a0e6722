"""Shows the progress of a long call in which TensorFlow reads or writes."""

import contextlib
import sys
import threading

from tqdm import tqdm

LARGE = 256 * 2**20  # bytes; smaller files take only a moment
_SECONDS = 0.5  # seconds between updates


def size_of(variable):
    """Bytes of a TensorFlow variable."""
    return variable.shape.num_elements() * variable.dtype.size


@contextlib.contextmanager
def shown(text, size, done=None):
    """Shows that a large file is read or written, for as long as the block runs.

    On a terminal, it shows a bar, which is removed when the block ends; elsewhere, it prints one
    line. For small files, it shows nothing.

    Args:
        text: description, such as "Saving epoch-1".
        size: bytes in all.
        done: function without arguments that returns the bytes done; `None` if unknown.

    Example:
        >>> with shown("Saving epoch-1", 3 * 2**30):
        ...     pass
        Saving epoch-1 (3.2 GB)
    """
    if size < LARGE:
        yield
        return
    text = f"{text} ({size / 1e9:.1f} GB)"
    if not sys.stderr.isatty():
        print(text, flush=True)
        yield
        return
    layout = "{desc}: {percentage:3.0f} %{bar} {elapsed}" if done else "{desc} {elapsed}"
    bar = tqdm(total=size, desc=text, leave=False, dynamic_ncols=True, bar_format=layout)
    ended = threading.Event()

    def look():
        while not ended.wait(_SECONDS):
            with contextlib.suppress(OSError):  # a file that has just been renamed
                bar.n = min(done(), size) if done else 0
            bar.refresh()

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        bar.close()
