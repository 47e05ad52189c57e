"""The output of `aofdoctor diff` as text, JSON Lines, tables of counts, and by keys; renderer.py is their base class.

These modules may import the console, other views, aofdoctor.diff and lower packages.  Comparing does not belong here:
they count and print the differences that aofdoctor.diff yields.
"""
