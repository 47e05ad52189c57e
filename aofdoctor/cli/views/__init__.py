"""The output of the verbs: each module ("view") turns the results of one or several verbs into text or JSON.

A view may import the console, other views and the packages that define the values it prints.  It does not parse
options, does not open files and does not import verbs.
"""
