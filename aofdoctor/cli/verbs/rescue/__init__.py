"""The verbs that rescue data by editing an AOF: strip, repair, rewind, slice, apply and undo.

May import the rest of cli and every lower package.
Planning and writing an edit do not belong here (edit): a verb parses its options, asks the user, and prints the result.
"""
