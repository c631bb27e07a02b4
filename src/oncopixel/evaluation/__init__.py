"""How good predictions are, with intervals, and whether there is a signal.

Predictions in; metrics, curves and a verdict out.
"""
