"""Which requests are started, which wait unsent, and which are rejected (docs/decisions/0016-admission.md)."""
