//! What the operator sets: flags over environment over TOML file over defaults, one table of options.
