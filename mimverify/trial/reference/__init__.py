"""What a right step is, independently of the trainers: the oracle and its rounding envelope."""
