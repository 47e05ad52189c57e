"""The command line: the application, its options, one module for each verb and one for each view.

It may import every other package, and it is the only one that may import typer and rich.  Decisions about AOFs do not
belong here: a verb parses its arguments, calls a function of a lower package and prints the answer.
"""
