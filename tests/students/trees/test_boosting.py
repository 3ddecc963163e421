"""What the boosting makes of odd features."""

import numpy as np

from metier.students.trees.boosting import Growing, grow


def test_a_feature_that_no_example_has_is_never_split_on():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(62, 3))
    y = np.digitize(x[:, 0], [-0.5, 0.5]).astype(np.int64)
    x[:, 1] = np.nan
    how = Growing(iterations=5, rate=0.1, leaves=4, min_leaf=2, l2=0.0, feature_share=1.0, patience=5)
    forest = grow(x, y, x[:9], y[:9], 3, how, seed=0).forest
    assert 0 in (found := {node.feature for _, nodes in forest.trees for node in nodes if not node.is_leaf})
    assert 1 not in found
