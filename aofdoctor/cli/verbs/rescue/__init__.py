"""The verbs that rescue data by editing an AOF: strip, repair, rewind, slice, apply and undo.

May import cli and every package below it.
Planning and writing do not belong here (edit): a verb parses its options, asks, and prints the result.
"""
