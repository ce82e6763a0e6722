"""Experiments that are behind a figure of the docs; each writes its file in results/."""
