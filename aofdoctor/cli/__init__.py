"""The command line of aofdoctor: its options, one module for each verb (subcommand), and one for each output format.

It may import every other package, and it is the only one that may import typer and rich.  Decisions about AOFs do not
belong here: a verb parses its arguments, calls a function of a lower package and prints the result.
"""
