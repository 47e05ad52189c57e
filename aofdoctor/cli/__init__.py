"""The command line: one file a verb, each parses, asks and renders.

The only room that knows typer and rich.  No thinking belongs here: a verb that
decides something wants a function in analysis or edit.
"""
