"""The verb `convert`: write an AOF or RDB in another file layout, for another server version, or with other TTLs.

May import cli and every package below it.
The conversion itself does not belong here (edit/conversion): a verb parses its options, asks, and prints the result.
"""
