"""Running trials: settings, sessions, processes, verdicts, reports, capsules."""
