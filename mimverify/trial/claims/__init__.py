"""Claims: their records, the configurations that they draw, and what they share."""
