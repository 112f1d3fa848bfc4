"""`python -m qtaml_codesign ...` is the same as `codesign ...`."""

from qtaml_codesign.commands.main import run

if __name__ == "__main__":
    run()
