"""Performance history of mimverify, measured by asv."""
