"""A run: its folder, its checkpoints, its model, and what it leaves."""
