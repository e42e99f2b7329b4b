"""The named losses, one file each: a `Loss`, or a `NamedLoss` that takes a number, under a public
name. Nothing lists the files.
"""
