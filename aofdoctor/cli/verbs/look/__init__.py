"""The verbs that only examine an AOF: check, diff, log, show and stats.

They may import the rest of cli and every lower package.  A verb that writes files, other than the patch of diff, does
not belong here: see `rescue` and `convert`.
"""
