"""What `diff` prints: the part that all views of commands share, text, JSON Lines, tables of counts, and keys.

A view may import the console, other views, the values of `diff` and what those are made of.  Comparing does not belong
here: a view counts and prints the events that `diff` yields.
"""
