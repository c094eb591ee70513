"""Fuzzing for C12: targets with their laws, a corpus for each, and two ways to make inputs.

`python -m prove.fuzz TARGET --runs=N` has atheris find inputs by the coverage that they reach. Without atheris, and for
a quick share, inputs are mutations of the corpus (`mutations.py`); the targets and their laws are the same.
"""
