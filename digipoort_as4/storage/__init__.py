"""What the post office remembers. Knows no protocol and no network."""
