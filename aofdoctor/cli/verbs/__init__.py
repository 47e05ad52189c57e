"""The verbs, one module each, in the groups `look`, `rescue`, `convert` and `prove`.

A verb may import options, console, views and every lower package, but no other verb; `demo` imports the verbs that it
runs when it runs them.  Printing that takes more than a few lines does not belong here: see `views`.
"""
