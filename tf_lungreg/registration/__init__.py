"""Registration of a user's two files in their own space.

``warped(p) = moving(T(p))`` for every point p of the fixed image's world, in millimetres:
:mod:`~tf_lungreg.registration.pipeline` finds T with a trained model,
:mod:`~tf_lungreg.transforms.transform` applies and inverts it without TensorFlow,
:mod:`~tf_lungreg.transforms.transform_files` writes and reads it for ITK.
"""
