"""Files, cohorts, preprocessing, pairs, and the synthetic phantom."""
