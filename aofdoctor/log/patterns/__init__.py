"""Patterns that select records: the limit of the time that a regular expression may take on one record.

May import the shared vocabulary.  Which records a pattern is applied to is decided in aofdoctor.log.selection.
"""
