-- What operators add to the tables while the post office runs: mandates and routes. The last row of a key stands.

CREATE TABLE register (
    id        INTEGER PRIMARY KEY,
    register  TEXT    NOT NULL,   -- mandate or route
    key       TEXT    NOT NULL,
    value     TEXT,               -- JSON; NULL: withdrawn
    by        TEXT    NOT NULL,
    reason    TEXT    NOT NULL,
    at        INTEGER NOT NULL
) STRICT;

CREATE TRIGGER register_unchanged BEFORE UPDATE ON register
BEGIN
    SELECT RAISE(ABORT, 'the register is append-only');
END;
CREATE TRIGGER register_kept BEFORE DELETE ON register
BEGIN
    SELECT RAISE(ABORT, 'the register is append-only');
END;
