"""Tests of aofdoctor.advice: the steps that are printed for a person to follow."""
