"""How fast: competitors side by side, and the history of benchmarks."""
