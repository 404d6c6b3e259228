-- What the agency sends: one row for each folder dropped into its outbox.

CREATE TABLE IF NOT EXISTS dispatch (
    folder TEXT PRIMARY KEY, message_id TEXT NOT NULL, sealed_at TEXT NOT NULL, due TEXT NOT NULL,
    octets BLOB NOT NULL, signature_value TEXT NOT NULL, large TEXT NOT NULL, attempts INTEGER NOT NULL,
    note TEXT NOT NULL, verdict TEXT NOT NULL, told TEXT NOT NULL, answer BLOB NOT NULL
) WITHOUT ROWID;
