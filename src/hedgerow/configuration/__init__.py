"""Where settings come from: flags, variables and a file, and what they name on the machine."""
