"""`python -m gittrack` is the command `gittrack`."""

from gittrack.cli.main import entry

if __name__ == "__main__":
    entry()
