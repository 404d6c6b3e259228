"""The client side: send an envelope, ask for statuses, verify every answer."""
