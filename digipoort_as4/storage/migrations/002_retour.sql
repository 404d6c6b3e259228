-- Return traffic: what agencies put ready for businesses, and who collected it. And one way to look a process up by
-- whom it is about: belanghebbende and recipient are hub.identities.key, type and number in the form that is compared.

ALTER TABLE process ADD COLUMN belanghebbende TEXT NOT NULL DEFAULT '';

UPDATE process SET belanghebbende = lower(belanghebbende_type) || ' ' || CASE
    WHEN lower(belanghebbende_type) NOT IN ('oin', 'hrn', 'kvk', 'btw', 'fi', 'lhnr', 'rsin', 'bsn')
        THEN belanghebbende_nummer
    WHEN lower(belanghebbende_type) IN ('btw', 'fi')
        AND upper(replace(replace(belanghebbende_nummer, '.', ''), ' ', '')) LIKE 'NL%'
        THEN substr(upper(replace(replace(belanghebbende_nummer, '.', ''), ' ', '')), 3)
    ELSE upper(replace(replace(belanghebbende_nummer, '.', ''), ' ', '')) END;

CREATE INDEX process_belanghebbende ON process (belanghebbende, berichtsoort);

CREATE TABLE retour (
    id              INTEGER PRIMARY KEY,
    process         INTEGER NOT NULL UNIQUE REFERENCES process (id),
    berichtkenmerk  TEXT    NOT NULL UNIQUE,
    recipient       TEXT    NOT NULL,
    berichtsoort    TEXT    NOT NULL,
    at              INTEGER NOT NULL
) STRICT;

CREATE INDEX retour_recipient ON retour (recipient, berichtsoort, at);

CREATE TABLE collected (
    asker_oin  TEXT    NOT NULL,
    kenmerk    TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (asker_oin, kenmerk)
) STRICT, WITHOUT ROWID;

-- JSON array of [placeholder, payload key] of an answer with large documents: their octets lie in payloads already.
ALTER TABLE reply ADD COLUMN large TEXT;
