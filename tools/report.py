"""One self-contained HTML page about a run, or about a table from its JSON.

    python -m tools.report --workdir=runs/digits
    python -m tools.report --table=results/digits.json

Writes `<workdir>/report.html`, or the page beside the table's file.
"""

import argparse
import json
import sys
from pathlib import Path

from rocket_tf.errors import ConfigError
from rocket_tf.reporting.writing import write_run_page, write_table_page
from rocket_tf.runs.folder import RunFolder


def main(argv=None):
    """Writes what the arguments ask for; returns the process's exit code."""
    parser = argparse.ArgumentParser(
        prog="report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--workdir", type=Path, help="folder of a finished run")
    what.add_argument("--table", type=Path, help="JSON file that tools.reproduce wrote")
    arguments = parser.parse_args(argv)
    try:
        if arguments.workdir:
            written = arguments.workdir / "report.html"
            write_run_page(RunFolder(arguments.workdir), written)
        else:
            written = arguments.table.with_suffix(".html")
            _write_table_page(arguments.table, written)
    except ConfigError as error:
        print(f"report: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    print(f"written: {written}")
    return 0


def _write_table_page(path, page):
    expected = "expected a JSON file that tools.reproduce wrote"
    try:
        write_table_page(json.loads(path.read_text()), page)
    except FileNotFoundError:
        raise ConfigError(f"--table: {path} is not there; {expected}") from None
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ConfigError(
            f"--table: {path} cannot be read ({type(error).__name__}: {error}); {expected}"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
