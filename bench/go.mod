module hedgerow/bench

go 1.23
