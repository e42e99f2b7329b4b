"""What all other packages need, and which needs none of them: errors, checks, files, threads."""
