"""Launcher: `python cli.py ...` from a checkout is the same as the installed `codesign ...`."""

from qtaml_codesign.commands.main import run

if __name__ == "__main__":
    run()
