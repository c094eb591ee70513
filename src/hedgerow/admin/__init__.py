"""The admin port: is the gateway alive, is it ready, how does it do. It belongs to operators, and never says no."""
