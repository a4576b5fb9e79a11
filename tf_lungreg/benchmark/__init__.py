"""The paper's Tables 1 and 2 and its Figure 2 for several methods on one cohort (Section 3).

:mod:`~tf_lungreg.benchmark.methods` registers, :mod:`~tf_lungreg.benchmark.measures` measures one
pair, :mod:`~tf_lungreg.benchmark.run` goes through the pairs, :mod:`~tf_lungreg.benchmark.results`
gathers what came out, :mod:`~tf_lungreg.benchmark.evaluate` is the whole.
"""
