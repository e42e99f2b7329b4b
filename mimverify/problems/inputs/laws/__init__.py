"""The named laws of inputs, one file each: the file's name, with dashes, is the law's.

The class `Law` of a file takes the numbers that follow the colon of a specification.
"""
