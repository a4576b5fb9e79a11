"""From spatial gradients to coordinates: the cumulative sum of Φ along each axis (paper 2.1)."""

from __future__ import annotations

import tensorflow as tf

from tf_lungreg.errors import InputError

ANCHORS = ("corner", "center", "ends")


def integrate(spatial_gradients: tf.Tensor, anchor: str = "ends") -> tf.Tensor:
    """The deformable grid ``G_N`` whose steps along each axis are the spatial gradients.

    With ``C_d(p)`` the sum of ``Φ_d(q)`` over all ``q`` before ``p`` on the line through ``p``
    along axis d, and N its length:

    - ``corner``: ``G_N = C``, the paper's; Φ = 1 is the identity.
    - ``center``: C less the mean displacement of each line.
    - ``ends``: ``(N - 1) C(p) / C(N - 1)``: both ends of each line stay, a uniform change of Φ
      changes nothing (the affine transform is there for that).

    Since Φ >= 0, each coordinate never decreases along its own axis, whatever the anchor.

    Args:
        spatial_gradients: Φ, (batch, D, H, W, 3), not negative.
        anchor: one of ``ANCHORS``.

    Returns:
        Tensor of the shape of Φ, voxel coordinates.

    Raises:
        InputError: the anchor is unknown.

    Example:
        One line along W with a long second step; ``corner`` adds the steps up, ``ends`` keeps both
        ends:

        >>> steps = tf.reshape([1.0, 2.0, 1.0], (1, 1, 1, 3, 1)) * tf.ones((1, 2, 2, 3, 3))
        >>> integrate(steps, "corner")[0, 0, 0, :, 2].numpy().tolist()
        [0.0, 1.0, 3.0]
        >>> [round(float(w), 3) for w in integrate(steps, "ends")[0, 0, 0, :, 2]]
        [0.0, 0.667, 2.0]
    """
    check_anchor(anchor)
    return tf.stack(
        [_integrate_axis(spatial_gradients[..., d], d + 1, anchor) for d in range(3)], axis=-1
    )


def check_anchor(anchor: str) -> None:
    """Raises an InputError that lists the known anchors, if this is none of them."""
    if anchor not in ANCHORS:
        raise InputError(f"anchor: one of {', '.join(ANCHORS)} is needed, not {anchor!r}.")


def _integrate_axis(steps: tf.Tensor, axis: int, anchor: str) -> tf.Tensor:
    """One coordinate, (batch, D, H, W), from the steps along its own axis."""
    corner = tf.cumsum(steps, axis=axis, exclusive=True)
    if anchor == "corner":
        return corner
    length = tf.cast(tf.shape(steps)[axis], steps.dtype)
    if anchor == "center":
        mean = tf.reduce_mean(corner, axis=axis, keepdims=True)
        return corner + (length - 1) / 2 - mean
    total = tf.gather(corner, [tf.shape(steps)[axis] - 1], axis=axis)
    # A line whose steps are all zero has no direction to stretch; it collapses onto its start.
    return (length - 1) * tf.math.divide_no_nan(corner, total)
