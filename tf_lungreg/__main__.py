"""``python -m tf_lungreg``."""

import sys

from tf_lungreg.cli import main

if __name__ == "__main__":
    sys.exit(main())
