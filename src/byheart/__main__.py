"""`python -m byheart` is the command line."""

from byheart.app.cli import main

if __name__ == "__main__":
    main()
