"""A run: its folder, checkpoints, model, summary and exports."""
