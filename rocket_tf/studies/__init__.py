"""Studies: many runs, summarized in one table."""
