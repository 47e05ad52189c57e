"""Journeys: an accident on a real server, the steps that aofdoctor prints, executed literally, and the keys afterwards.

`scenarios/` has the accidents, `world.py` the server and its host, `person.py` the one who follows the steps.
`python -m tests.journeys` runs every journey with every server at hand; pytest runs each with one.
"""
