"""A synthetic breathing chest cohort with known deformations, in place of private patients.

``anatomy`` and ``vessels`` say what lies where at inspiration, ``organs`` and ``tissue`` what it
looks like, ``motion`` how it breathes; ``subject`` puts one patient together, ``cohort`` writes
the files.
"""

from __future__ import annotations

from tf_lungreg.phantom.cohort import write_phantom_cohort
from tf_lungreg.phantom.subject import make_subject

__all__ = ["make_subject", "write_phantom_cohort"]
