"""The paper's Tables 1 and 2 and its Figure 2 for several methods on one cohort (Section 3).

The parts, in the order in which data pass through them: ``methods`` register, ``pair_measures``
measures one pair, ``method_runs`` goes through the pairs, ``results`` gathers what came out and
``evaluation`` is the whole. ``baselines`` has the methods that the paper compares with.
"""
