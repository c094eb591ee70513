"""Benchmarks of hedgerow beside its peers. Run by `make bench`; see README.md."""
