"""Claims: their records, their configurations, and the training that they have in common."""
