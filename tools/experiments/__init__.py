"""Experiments behind figures in the docs; each writes its file in results/."""
