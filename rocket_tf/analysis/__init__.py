"""What a model does inside, and what its nets cost."""
