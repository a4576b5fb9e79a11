"""Randomised pairs with a known displacement, from synthetic bodies: no patient is in them.

Contrast, field of view, pose, breathing, noise and resolution vary far more than in any hospital,
so that a network which was trained on them alone registers real images of kinds it never saw
(domain randomisation, Tobin et al. 2017; for registration, Hoffmann et al. 2021).
"""

from tf_lungreg.synthetic.bodies import Bodies, load_bodies
from tf_lungreg.synthetic.crops import SyntheticCrop, draw_crop
from tf_lungreg.synthetic.pairs import SyntheticPair, draw_pair

__all__ = ["Bodies", "SyntheticCrop", "SyntheticPair", "draw_crop", "draw_pair", "load_bodies"]
