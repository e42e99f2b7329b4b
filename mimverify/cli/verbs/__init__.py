"""The verbs of the command line: each is the click command of its file, under the file's name."""
