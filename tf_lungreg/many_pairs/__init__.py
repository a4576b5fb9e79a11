"""Registers the many pairs of a table: one folder each, resumed, with a summary."""

from tf_lungreg.many_pairs.registering import read_pairs, register_pairs

__all__ = ["read_pairs", "register_pairs"]
