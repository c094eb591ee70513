module hedgerow/tests/services

go 1.23
