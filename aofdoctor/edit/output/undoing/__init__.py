"""Undo an edit in place: read its receipt, which is not trusted, and restore the old bytes or names.

May import the other modules of `edit.output`.  How an edit writes its receipt does not belong here.
"""
