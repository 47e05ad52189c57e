"""Advice: the steps that aofdoctor prints for a person to follow, built from facts about this host.

Holds the steps as values (a sentence and commands that can be pasted), the servers that use the files and what
supervises them, and the commands that `check` suggests next.  May import `edit` and everything below; the views
render the steps.  Nothing here changes a file, a process or a server.
"""
