"""The post office itself: what is accepted, for whom, and what happens to it. Knows no protocol."""
