"""HTTP and TLS, both directions. Knows no protocol above HTTP and remembers nothing."""
