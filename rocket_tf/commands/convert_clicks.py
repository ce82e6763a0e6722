"""Writes a click log in CSV or TFRecord files as Parquet, from which large logs are streamed.

    rocket-tf convert-clicks logs parquet --set=category_columns=user,item,city

Only the columns that the fields name are written. Training does the same automatically, into a
hidden folder beside the log. Memory does not grow with the log.
"""

from pathlib import Path

from rocket_tf import config as options
from rocket_tf.commands import Parser
from rocket_tf.data.clicks import conversion, opening
from rocket_tf.data.own_data import columns_of
from rocket_tf.errors import ConfigError
from rocket_tf.system.answering import answer


def main(argv=None):
    """Writes the files; returns the process's exit code."""
    parser = Parser("convert_clicks", __doc__)
    parser.add_argument("source", help="as config.data_path of dataset=click_log")
    parser.add_argument("target", help="a new folder")
    parser.add_argument(
        "--set", action="append", default=[], help="any field, as --set=label_column=bought"
    )
    arguments = parser.parse_args(argv)
    return answer("convert_clicks", lambda: _convert(arguments))


def _convert(arguments):
    config = options.default()
    # Fields that say which net reads which column belong to a run.
    config.update({"dataset": "click_log", "data_path": arguments.source})
    config.update(options.parse_overrides(arguments.set))
    options.check_fields(config)
    target = Path(arguments.target)
    if target.exists():
        raise ConfigError(f"{target}: is there already; name a new folder")
    files = opening.listing_of(config).both_parts
    if files.form == "Parquet":
        raise ConfigError(f"{arguments.source}: is in Parquet already; train on it as it is")
    conversion.convert(files, columns_of(config), target, config["test_column"])
