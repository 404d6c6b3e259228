"""The WUS koppelvlak 1.2: paths, readers, writers and faults. Never imports the AS4 side."""
