"""The verbs that convert an AOF or an RDB to another form.

May import cli and every package below it.
The conversion itself does not belong here (edit/conversion): a verb parses its options, asks, and prints the result.
"""
