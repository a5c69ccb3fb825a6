-- One text for SQLite and PostgreSQL. Times are microseconds since 1970 UTC, 0
-- when there is none. doc is the whole value as JSON; the other columns exist
-- only to find and to order it. JSON and hostile bytes are bytea, because
-- PostgreSQL refuses NUL in text and jsonb.

-- +goose Up
CREATE TABLE counters (
    name  text   NOT NULL PRIMARY KEY,
    value bigint NOT NULL
);

CREATE TABLE bodies (
    id           text   NOT NULL PRIMARY KEY,
    source       text   NOT NULL,
    content_type text   NOT NULL,
    sha256       text   NOT NULL,
    received_at  bigint NOT NULL,
    status       text   NOT NULL,
    problem      text   NOT NULL,
    data         bytea
);
CREATE INDEX bodies_pending ON bodies (received_at, id) WHERE status = 'pending';
CREATE INDEX bodies_decided ON bodies (received_at, id) WHERE status <> 'pending';

-- How many signals of a pending body are decided. Not a column of bodies: SQLite
-- writes a row anew as a whole, and a body has up to 4 MiB.
CREATE TABLE body_progress (
    body_id text   NOT NULL PRIMARY KEY,
    taken   bigint NOT NULL
);

CREATE TABLE incidents (
    id           text   NOT NULL PRIMARY KEY,
    number       bigint NOT NULL,
    status       text   NOT NULL,
    entity       text   NOT NULL,
    title_search text   NOT NULL,
    opened_at    bigint NOT NULL,
    resolved_at  bigint NOT NULL,
    ended_at     bigint NOT NULL,
    due_at       bigint NOT NULL,
    lease_owner  text   NOT NULL,
    lease_until  bigint NOT NULL,
    version      bigint NOT NULL,
    doc          bytea  NOT NULL
);
CREATE UNIQUE INDEX incidents_number ON incidents (number);
CREATE INDEX incidents_status ON incidents (status, resolved_at);
CREATE INDEX incidents_entity ON incidents (entity);
CREATE INDEX incidents_due ON incidents (due_at, id) WHERE due_at > 0;
CREATE INDEX incidents_ended ON incidents (ended_at, id) WHERE ended_at > 0;

-- Under what an incident is found: kind is 'identity' (of its symptoms), 'object'
-- (what of its entity is broken), 'run', or 'dry_runs' (it is there for nothing else).
CREATE TABLE incident_keys (
    incident_id text NOT NULL REFERENCES incidents (id),
    kind        text NOT NULL,
    key         text NOT NULL,
    PRIMARY KEY (incident_id, kind, key)
);
CREATE INDEX incident_keys_key ON incident_keys (kind, key);

CREATE TABLE events (
    incident_id text   NOT NULL REFERENCES incidents (id),
    seq         bigint NOT NULL,
    doc         bytea  NOT NULL,
    PRIMARY KEY (incident_id, seq)
);

CREATE TABLE signals (
    id          text   NOT NULL PRIMARY KEY,
    incident_id text   NOT NULL,
    source      text   NOT NULL,
    received_at bigint NOT NULL,
    doc         bytea  NOT NULL
);
CREATE INDEX signals_received ON signals (received_at, id);
CREATE INDEX signals_incident ON signals (incident_id, received_at, id);
CREATE INDEX signals_source ON signals (source, received_at, id);

CREATE TABLE facts (
    incident_id text   NOT NULL,
    position    bigint NOT NULL,
    fact_id     text   NOT NULL,
    doc         bytea  NOT NULL,
    PRIMARY KEY (incident_id, position)
);
CREATE UNIQUE INDEX facts_fact ON facts (incident_id, fact_id);

CREATE TABLE raws (
    sha256 text NOT NULL PRIMARY KEY,
    data   bytea
);

-- Which incidents cite a raw output: it is kept as long as one does. The
-- reference makes a citing transaction and a deleting one see each other.
CREATE TABLE incident_raws (
    incident_id text NOT NULL,
    sha256      text NOT NULL REFERENCES raws (sha256),
    PRIMARY KEY (incident_id, sha256)
);
CREATE INDEX incident_raws_sha256 ON incident_raws (sha256);

CREATE TABLE jobs (
    id          text   NOT NULL PRIMARY KEY,
    queue       text   NOT NULL,
    kind        text   NOT NULL,
    job_key     text   NOT NULL,
    incident_id text   NOT NULL,
    payload     bytea,
    state       text   NOT NULL,
    run_at      bigint NOT NULL,
    deadline    bigint NOT NULL,
    attempts    bigint NOT NULL,
    lease_owner text   NOT NULL,
    lease_until bigint NOT NULL,
    fence       bigint NOT NULL,
    last_error  text   NOT NULL,
    created_at  bigint NOT NULL,
    ended_at    bigint NOT NULL,
    result      bytea
);
CREATE UNIQUE INDEX jobs_key ON jobs (job_key) WHERE job_key <> '';
CREATE INDEX jobs_open ON jobs (queue, run_at, id) WHERE state IN ('queued', 'leased');
CREATE INDEX jobs_leased ON jobs (lease_owner) WHERE state = 'leased';
CREATE INDEX jobs_incident ON jobs (incident_id) WHERE incident_id <> '';
CREATE INDEX jobs_ended ON jobs (ended_at, id) WHERE incident_id = '' AND ended_at > 0;

CREATE TABLE locks (
    name   text   NOT NULL PRIMARY KEY,
    holder text   NOT NULL,
    until  bigint NOT NULL
);
CREATE INDEX locks_holder ON locks (holder);

CREATE TABLE agents (
    id  text  NOT NULL PRIMARY KEY,
    doc bytea NOT NULL
);

CREATE TABLE enrol_tokens (
    hash       text    NOT NULL PRIMARY KEY,
    agent      text    NOT NULL,
    expires_at bigint  NOT NULL,
    used       boolean NOT NULL
);

CREATE TABLE tokens (
    hash       text   NOT NULL PRIMARY KEY,
    expires_at bigint NOT NULL,
    doc        bytea  NOT NULL
);

CREATE TABLE checks (
    name   text   NOT NULL,
    target text   NOT NULL,
    doc    bytea  NOT NULL,
    PRIMARY KEY (name, target)
);
