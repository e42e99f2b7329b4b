"""Where a trainer departs from gradient descent, and which known wrong rule it follows."""
