"""The named activations, one file each: a record under a public name, with all that it computes.

Every formula serves the arrays of all libraries through the array API's namespace and is written
to keep relative accuracy near zero, where stage 1 operates. Nothing lists the files.
"""
