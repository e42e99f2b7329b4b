"""The trainer under trial, as claims see it, and a record of its calls."""
