"""Trials: settings, sessions, processes, verdicts, reports, capsules."""
