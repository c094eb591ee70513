"""The admin port: liveness, readiness, metrics, status. It is for operators, and never rejects for overload."""
