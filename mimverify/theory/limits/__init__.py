"""The limit itself: what the best possible estimator, and the best known algorithm, reach."""
