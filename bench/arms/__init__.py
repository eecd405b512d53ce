"""The programs that are measured: each a process that does one repetition whenever the parent says so."""
