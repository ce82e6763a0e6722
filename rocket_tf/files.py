"""Files that are there whole or not at all."""

import json
import os
from pathlib import Path


def write_text(path, text):
    """Writes a text file in UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_bytes(path, content):
    """Writes a file, making its folder; a process killed meanwhile leaves the old one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def write_json(path, content):
    """Writes what JSON can hold, as `write_bytes` does."""
    write_text(path, json.dumps(content, indent=2) + "\n")
