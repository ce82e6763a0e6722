"""What happens inside a model, and what its nets cost."""
