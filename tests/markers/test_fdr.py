"""Benjamini and Hochberg's q-values."""

import numpy as np
import pytest

from oncopixel.markers.fdr import benjamini_hochberg


def test_benjamini_hochberg_leaves_untested_out() -> None:
    q = benjamini_hochberg(np.array([0.01, np.nan, 0.04, 0.5]))
    assert q[0] == pytest.approx(0.03)
    assert np.isnan(q[1])
    assert q[2] == pytest.approx(0.06)
    assert np.isnan(benjamini_hochberg(np.array([np.nan]))).all()
