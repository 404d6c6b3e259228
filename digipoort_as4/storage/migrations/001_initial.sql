-- What the post office remembers. Times are microseconds since 1970-01-01 UTC.
-- STRICT: a wrong type is an error here and not a surprise seven years later.

CREATE TABLE process (
    id                       INTEGER PRIMARY KEY,
    kenmerk                  TEXT    NOT NULL UNIQUE,
    sender_oin               TEXT    NOT NULL,
    berichtsoort             TEXT    NOT NULL,
    belanghebbende_nummer    TEXT    NOT NULL,
    belanghebbende_type      TEXT    NOT NULL,
    rol_belanghebbende       TEXT    NOT NULL,
    aanleverkenmerk          TEXT,
    eerder_aanleverkenmerk   TEXT,
    ontvanger_nummer         TEXT,
    ontvanger_type           TEXT,
    rol_ontvanger            TEXT,
    autorisatie_adres        TEXT,
    content                  BLOB    NOT NULL CHECK (length(content) = 32),
    received_at              INTEGER NOT NULL,
    state                    TEXT    NOT NULL,
    version                  INTEGER NOT NULL,
    last_seq                 INTEGER NOT NULL,
    last_status_at           INTEGER NOT NULL,
    duplicate_of             TEXT
) STRICT;

-- Probable duplicates are looked up by these three; a process without aanleverkenmerk is never one.
CREATE INDEX process_duplicate ON process (sender_oin, aanleverkenmerk, content) WHERE aanleverkenmerk IS NOT NULL;

-- octets NULL: they lie in a file named by the key. refs counts the documents that name the payload; at 0 a tombstone
-- is set, and only a tombstone older than the longest upload lets the octets go (design 5.6).
CREATE TABLE payload (
    id            INTEGER PRIMARY KEY,
    key           TEXT    NOT NULL UNIQUE,
    size          INTEGER NOT NULL,
    sha256        BLOB    NOT NULL CHECK (length(sha256) = 32),
    refs          INTEGER NOT NULL DEFAULT 1,
    tombstone_at  INTEGER,
    octets        BLOB
) STRICT;

CREATE TABLE document (
    process       INTEGER NOT NULL REFERENCES process (id),
    position      INTEGER NOT NULL,
    payload       INTEGER NOT NULL REFERENCES payload (id),
    part          TEXT    NOT NULL,
    mime_type     TEXT    NOT NULL,
    bestandsnaam  TEXT    NOT NULL,
    PRIMARY KEY (process, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE status (
    process           INTEGER NOT NULL REFERENCES process (id),
    seq               INTEGER NOT NULL,
    code              TEXT    NOT NULL,
    at                INTEGER NOT NULL,
    omschrijving      TEXT    NOT NULL,
    foutcode          TEXT,
    foutbeschrijving  TEXT,
    details           TEXT,
    PRIMARY KEY (process, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE delivery (
    id              INTEGER PRIMARY KEY,
    berichtkenmerk  TEXT    NOT NULL UNIQUE,
    process         INTEGER NOT NULL REFERENCES process (id),
    recipient_oin   TEXT    NOT NULL,
    is_copy         INTEGER NOT NULL,
    documents       TEXT    NOT NULL,   -- JSON array of payload keys
    state           TEXT    NOT NULL,
    version         INTEGER NOT NULL,
    started_at      INTEGER,
    attempts        INTEGER NOT NULL,
    consent         TEXT    NOT NULL,
    note            TEXT    NOT NULL
) STRICT;

CREATE INDEX delivery_process ON delivery (process);

-- Narrow, apart from the messages: what workers touch all day stays in few pages.
-- AUTOINCREMENT: an id is never used again, so a token of a finished job can not fit a later one.
CREATE TABLE job (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    kind         TEXT    NOT NULL,
    destination  TEXT    NOT NULL,
    subject      TEXT    NOT NULL,
    due          INTEGER NOT NULL,
    lease_until  INTEGER NOT NULL DEFAULT 0,   -- 0: nobody holds it
    token        INTEGER NOT NULL DEFAULT 0,
    attempts     INTEGER NOT NULL DEFAULT 0,
    parked       INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX job_due ON job (kind, destination, due) WHERE parked = 0;
CREATE INDEX job_leased ON job (lease_until) WHERE lease_until > 0;

CREATE TABLE reply (
    id               INTEGER PRIMARY KEY,
    party            TEXT    NOT NULL,
    message_id       TEXT    NOT NULL,
    signature_value  TEXT    NOT NULL,
    octets           BLOB    NOT NULL,
    until            INTEGER NOT NULL,
    UNIQUE (party, message_id)
) STRICT;

CREATE INDEX reply_until ON reply (until);

CREATE TABLE seen (
    asker_oin  TEXT    NOT NULL,
    kenmerk    TEXT    NOT NULL,
    seq        INTEGER NOT NULL,
    PRIMARY KEY (asker_oin, kenmerk)
) STRICT, WITHOUT ROWID;

CREATE TABLE evidence (
    id        INTEGER PRIMARY KEY,
    kenmerk   TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    coverage  TEXT    NOT NULL,
    octets    BLOB    NOT NULL
) STRICT;

CREATE INDEX evidence_kenmerk ON evidence (kenmerk);

-- Evidence is only ever added (P7).
CREATE TRIGGER evidence_unchanged BEFORE UPDATE ON evidence
BEGIN
    SELECT RAISE(ABORT, 'evidence is append-only');
END;
CREATE TRIGGER evidence_kept BEFORE DELETE ON evidence
BEGIN
    SELECT RAISE(ABORT, 'evidence is append-only');
END;
