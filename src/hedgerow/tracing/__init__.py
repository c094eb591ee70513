"""Traces: which requests are recorded, their spans, and the export by OpenTelemetry."""
