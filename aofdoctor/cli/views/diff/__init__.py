"""The views of `diff`: the base class that the views of commands share, text, JSON Lines, tables of counts, and keys.

A view may import the console, other views, aofdoctor.diff and the packages below it.  Comparing does not belong here: a
view counts and prints the events that aofdoctor.diff yields.
"""
