"""The command line: ``tf-lungreg VERB ...``, the same as ``python -m tf_lungreg VERB ...``."""

from tf_lungreg.cli.main import main

__all__ = ["main"]
