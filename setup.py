"""Adds the pretrained model to the packages; setup.cfg and pyproject.toml hold everything else.

The tree keeps the model at the top level, where ``find:`` in setup.cfg does not look.
"""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["tf_lungreg*"]), "tf_lungreg.pretrained"])
