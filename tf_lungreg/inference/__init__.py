"""A forward pass of a model on two images, and which model that is."""
