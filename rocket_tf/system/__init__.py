"""Files, start-up, child processes, and where results come from."""
