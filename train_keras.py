"""The main job: cohort, training, evaluation, SavedModel, report; ``--help`` lists the flags."""

import sys

from tf_lungreg.__main__ import run

if __name__ == "__main__":
    sys.exit(run(["train", *sys.argv[1:]]))
