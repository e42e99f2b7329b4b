"""How a run holds its inputs: one file for each design, named like it, found and in no list.

A file has one subclass of `Stages` (`mimverify.experiment.stages`), which says all that the rest of
the package asks of the design. Where training needs another `Design` for it, that class is beside
it. Hyphens of a name are underscores of its file.
"""
