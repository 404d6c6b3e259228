"""Certificates, paths, revocation and private keys. Knows nothing of messages."""
