"""`python -m mimverify` is the command line."""

from mimverify.cli import main

if __name__ == "__main__":
    main()
