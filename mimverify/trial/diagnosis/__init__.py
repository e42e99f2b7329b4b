"""Where a trainer leaves gradient descent, and which known wrong rule it follows."""
