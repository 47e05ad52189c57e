"""Results as text or JSON, one module for each view.

A view may import the console, other views and the packages that define the values it prints.  It does not parse
options, does not open files and does not import verbs.
"""
