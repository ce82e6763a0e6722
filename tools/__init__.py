"""The commands of the package, run as `python -m tools.<name>` from the project's folder."""
