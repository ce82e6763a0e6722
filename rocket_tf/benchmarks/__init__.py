"""Measures the cost of training relative to alternatives, as ratios."""
