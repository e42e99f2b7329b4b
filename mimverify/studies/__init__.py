"""Named studies, and the kinds of trials that they run."""
