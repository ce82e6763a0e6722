"""Faked runs of a table: only their configurations and summaries exist."""

ERRORS = {
    ("light", "light"): [9.0, 8.0, 10.0],
    ("kd", "light"): [8.5, 7.6, 9.5],
    ("rocket", "light"): [8.0, 7.0, 8.4],
    ("rocket", "booster"): [6.0, 6.1, 6.2],
}


def pretend(reproduced, errors):
    """Writes summaries of runs that never ran, with given errors by method, net and seed."""
    for run in reproduced.runs:
        summary = {"versions": {"tensorflow": "2", "keras": "3"}}
        for net in ("light", "booster"):
            by_seed = errors.get((run.method, net), [])
            if run.seed < len(by_seed):
                summary[net] = {"test_error": by_seed[run.seed]}
        if len(summary) > 1:
            run.folder.write_config(run.config)
            run.folder.write_summary(summary)
