"""The main job: cohort, training, evaluation, SavedModel, report; ``--help`` lists the flags."""

import sys

from tf_lungreg.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
