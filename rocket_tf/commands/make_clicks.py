"""Makes a click log of any length from a seed, in Parquet and in bounded memory.

    rocket-tf make-clicks big --rows=20000000

Use it to try large data. To train on it, pass --config.dataset=click_log --config.data_path=big
--config.category_columns=user,item,query,hour --config.number_columns=price
--config.history_column=history. The test part has another tenth of the rows.
"""

from rocket_tf.commands import Parser
from rocket_tf.data.clicks import made_up
from rocket_tf.errors import ConfigError
from rocket_tf.system.answering import answer


def main(argv=None):
    """Writes the log; returns the process's exit code."""
    parser = Parser("make_clicks", __doc__)
    parser.add_argument("folder", help="where train.parquet and test.parquet are written")
    parser.add_argument("--rows", type=int, default=2_000_000, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument(
        "--rows_in_group", type=int, default=131_072, help="of a row group (default: %(default)s)"
    )
    arguments = parser.parse_args(argv)
    return answer("make_clicks", lambda: _make(arguments))


def _make(arguments):
    for name, minimum in (("rows", 1), ("seed", 0), ("rows_in_group", 1)):
        value = getattr(arguments, name)
        if value < minimum:
            raise ConfigError(f"--{name}: got {value}, expected a whole number from {minimum} on")
    made_up.write(arguments.folder, arguments.rows, arguments.seed, arguments.rows_in_group)
    print(f"{arguments.folder}: {arguments.rows} training rows, and a tenth as many test rows")
