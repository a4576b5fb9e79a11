"""Transforms in the world: fields, affine parts, inverses, files, applying them."""
