"""Transforms in the world: fields, affine parts, inverses, files, applying them.

``warped(p) = moving(T(p))`` for every point p of the fixed image's world, in RAS millimetres.
"""
