"""Kinds of trials: each file is one, known by the file's name.

A file has `VERSION`, an integer that a change of results raises, and `run(parameters)`, which
depends on nothing but its parameters and returns JSON values. It may have `complete(parameters)`,
which fills defaults in and refuses what it does not know, `memory(parameters)`, in bytes, and
`cost(parameters)`, a time in arbitrary units.
"""
