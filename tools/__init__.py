"""Commands over the package, run as `python -m tools.<name>` from the project's folder."""
