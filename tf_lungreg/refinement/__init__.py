"""Instance optimisation of a registration on its own pair of images."""
