"""Correct trainers that share no code with mimverify, nor with one another.

They were written from theory.md §2 and the README's table of names. Each must pass every claim
that applies to it: the suite tests the theorem, not likeness to the reference trainers.
"""
