"""The adapter through which claims call the trainer under trial, and a record of its calls."""
