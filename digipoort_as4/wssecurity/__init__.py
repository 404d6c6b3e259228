"""WS-Security: what a signature covers, and how ours are made. Readable by an auditor on its own."""
