"""The verbs (subcommands) of aofdoctor, one module each, in the groups `look`, `rescue`, `convert` and `prove`.

A verb may import the rest of cli and every lower package, but no other verb, except that `demo` runs other verbs.
Printing that takes more than a few lines does not belong here: see `views`.
"""
