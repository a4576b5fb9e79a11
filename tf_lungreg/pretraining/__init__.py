"""Training on randomised synthetic pairs alone."""
