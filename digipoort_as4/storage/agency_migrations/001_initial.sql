-- What an agency remembers. Times are ISO 8601 in UTC with microseconds: of one width, so that text order is time order.

CREATE TABLE IF NOT EXISTS hand_over (
    hub_oin TEXT NOT NULL, berichtkenmerk TEXT NOT NULL, kenmerk TEXT NOT NULL, berichtsoort TEXT NOT NULL,
    folder TEXT NOT NULL, staged TEXT NOT NULL, delivered_at TEXT NOT NULL, done_at TEXT,
    PRIMARY KEY (hub_oin, berichtkenmerk)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS hand_over_open ON hand_over (delivered_at) WHERE done_at IS NULL;
CREATE TABLE IF NOT EXISTS reply (
    hub_oin TEXT NOT NULL, message_id TEXT NOT NULL, signature_value TEXT NOT NULL, octets BLOB NOT NULL,
    until TEXT NOT NULL,
    PRIMARY KEY (hub_oin, message_id)
);
CREATE INDEX IF NOT EXISTS reply_until ON reply (until);
CREATE TABLE IF NOT EXISTS wish (
    hub_oin TEXT NOT NULL, berichtkenmerk TEXT NOT NULL, kenmerk TEXT NOT NULL, statuscode TEXT NOT NULL,
    at TEXT NOT NULL, foutcode TEXT, foutbeschrijving TEXT, details TEXT,
    due TEXT, attempts INTEGER NOT NULL DEFAULT 0, note TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (hub_oin, berichtkenmerk, statuscode)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS wish_due ON wish (due) WHERE due IS NOT NULL;
