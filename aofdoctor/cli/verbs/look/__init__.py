"""Verbs that answer a question about an AOF: check, diff, log, show and stats.

They may import options, console, views and every lower package.  A verb that writes anything but a patch does not
belong here: see `rescue` and `convert`.
"""
