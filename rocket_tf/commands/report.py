"""One self-contained HTML page about a run, or about a table from its JSON.

    rocket-tf report --workdir=runs/digits
    rocket-tf report --table=results/digits.json

Writes `<workdir>/report.html`, or the page beside the table's file.
"""

import json
from pathlib import Path

from rocket_tf.commands import Parser
from rocket_tf.errors import ConfigError
from rocket_tf.reporting.writing import write_run_page, write_table_page
from rocket_tf.runs.folder import RunFolder
from rocket_tf.system import files
from rocket_tf.system.answering import answer


def main(argv=None):
    """Writes what the arguments ask for; returns the process's exit code."""
    parser = Parser("report", __doc__)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--workdir", type=Path, help="folder of a finished run")
    group.add_argument("--table", type=Path, help="JSON file that tools.reproduce wrote")
    arguments = parser.parse_args(argv)
    return answer("report", lambda: _write(arguments))


def _write(arguments):
    if arguments.workdir:
        written = arguments.workdir / "report.html"
        write_run_page(RunFolder(arguments.workdir), written)
    else:
        written = arguments.table.with_suffix(".html")
        _write_table_page(arguments.table, written)
    print(f"written: {written}")


def _write_table_page(path, page):
    expected = "expected a JSON file that tools.reproduce wrote"
    try:
        write_table_page(json.loads(files.read_text(path)), page)
    except FileNotFoundError:
        raise ConfigError(f"--table: {path} is not there; {expected}") from None
    except OSError:
        raise
    except Exception as error:  # of many kinds, for whatever else a file may hold
        raise ConfigError(
            f"--table: {path} cannot be read ({type(error).__name__}: {error}); {expected}"
        ) from None
