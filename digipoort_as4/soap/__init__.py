"""SOAP 1.1: octets to one guarded tree and back. Knows no protocol, opens nothing, trusts nothing."""
