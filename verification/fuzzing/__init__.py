"""Fuzzing for C12: targets with their invariants, a corpus for each, and two ways to make inputs.

`python -m verification.fuzzing TARGET --runs=N` has atheris find inputs by the coverage that they reach. Without
atheris, and for small shares, inputs are mutations of the corpus (`mutations.py`); targets and invariants are the same.
"""
