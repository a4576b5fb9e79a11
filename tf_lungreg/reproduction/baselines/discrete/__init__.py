"""Discrete deformable registration: a Markov random field on a grid of control points.

After Glocker et al., "Deformable medical image registration: setting the state of the art with
discrete methods" (2011), the method of the paper's rows "Deformable with NCC, DWM, MI, all above".
"""

from tf_lungreg.reproduction.baselines.discrete.registration import register_discrete

__all__ = ["register_discrete"]
