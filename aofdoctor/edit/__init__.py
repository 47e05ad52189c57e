"""Findings and selections to plans, and plans to new files: nothing is written that was not planned.

May import analysis and all below.  The source is never written, but by
inplace.py, which is asked to by name and can be undone.
"""
