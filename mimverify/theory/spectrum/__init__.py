"""The spectrum of H: resolvents, traces, their fluctuations and bias, thresholds."""
