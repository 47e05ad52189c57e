"""What keeps a private server private: its limits, its scratch folder, and the reading of its log.

May import the vocabulary of the package alone.  Starting, asking and stopping a server does not belong here: that is
server/sandbox.py.
"""
