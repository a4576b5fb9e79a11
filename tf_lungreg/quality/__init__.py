"""Measures of a registration, and the verdict that follows from them."""
