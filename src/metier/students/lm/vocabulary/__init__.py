"""Cut a model's vocabulary to what a task needs, and put it back."""
