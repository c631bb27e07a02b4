"""The linear and tree models beside every CNN, tuned on the same folds.

Features and classes in; held-out probabilities and importances out.
"""
