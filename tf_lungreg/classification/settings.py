"""The settings of a training of classifiers."""

from __future__ import annotations

from dataclasses import dataclass

from tf_lungreg.setting import check_settings, setting

POOLINGS = ("flatten", "average")


@dataclass(frozen=True)
class ClassifierSettings:
    """How the classifiers are built and trained.

    The paper gives the first learning rate, the loss and the number of models. What its text leaves
    open: the interval at which the rate is halved, the number of epochs, the batch size, filters
    and pooling, the weight of the classes: each patient weighs n / (2 × patients of the class), and
    what makes few patients go further: half of them, at random in each step, are seen mirrored.

    Attributes:
        folds: number of folds; one model is trained without each.
        epochs: number of epochs; there is no early stopping.
        learning_rate: initial learning rate of Adam.
        halve_every: epochs after which the learning rate is halved, repeatedly.
        batch: patients per step; an epoch is divided into equal parts of about this size.
        filters: filters of the convolution.
        pooling: pooling before the perceptron.
        hidden: hidden units of the perceptron.
        mirror: show patients with right and left exchanged as well.
        seed: random seed of the split, the weights, the order of patients and the mirroring.

    Raises:
        InputError: a value that cannot be used; the message names it.
    """

    folds: int = setting(5, least=2)
    epochs: int = setting(200, least=1)
    learning_rate: float = setting(1e-4, above=0)
    halve_every: int = setting(100, least=1)
    batch: int = setting(8, least=2)
    filters: int = setting(8, least=1)
    pooling: str = setting("flatten", choices=POOLINGS)
    hidden: int = setting(100, least=1)
    mirror: bool = True
    seed: int = setting(0, least=0, most=2**32 - 1)

    def __post_init__(self):
        """Refuses a value before any work begins."""
        check_settings(self)
