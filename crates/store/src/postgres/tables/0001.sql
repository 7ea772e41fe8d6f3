-- The first shape; `tables.rs` says what it means.
CREATE TABLE mainstay.shard (
    id smallint PRIMARY KEY,
    epoch bigint NOT NULL,
    commit_no bigint NOT NULL,
    incarnation bytea NOT NULL,
    lease_until timestamptz NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE TABLE mainstay.node (
    incarnation bytea PRIMARY KEY,
    address text NOT NULL,
    draining boolean NOT NULL,
    until timestamptz NOT NULL
);
CREATE TABLE mainstay.session (
    id bytea PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    chain bytea NOT NULL,
    open boolean NOT NULL,
    erased boolean NOT NULL,
    frame_next bigint NOT NULL,
    frame_floor bigint NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX session_open ON mainstay.session (id) WHERE open;
CREATE TABLE mainstay.snapshot (
    session bytea PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    bytes bytea NOT NULL
) WITH (toast_tuple_target = 8160);
CREATE TABLE mainstay.event (
    session bytea NOT NULL,
    sequence bigint NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    op bytea,
    chain bytea,
    bytes bytea NOT NULL,
    PRIMARY KEY (session, sequence)
) WITH (toast_tuple_target = 8160);
CREATE TABLE mainstay.quiet (
    session bytea NOT NULL,
    expected bigint NOT NULL,
    op bytea NOT NULL,
    PRIMARY KEY (session, expected, op)
);
CREATE TABLE mainstay.frame (
    session bytea NOT NULL,
    last bigint NOT NULL,
    first bigint NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (session, last)
) WITH (toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);
CREATE TABLE mainstay.wakeup (
    session bytea NOT NULL,
    key text COLLATE "C" NOT NULL,
    shard smallint NOT NULL,
    at bigint NOT NULL,
    PRIMARY KEY (session, key)
);
CREATE INDEX wakeup_due ON mainstay.wakeup (shard, at, session, key);
CREATE TABLE mainstay.entry (
    tenant text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    key bytea NOT NULL,
    shard smallint NOT NULL,
    session bytea NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (tenant, kind, key, shard)
);
CREATE INDEX entry_session ON mainstay.entry (session);
CREATE TABLE mainstay.idempotency (
    shard smallint NOT NULL,
    scope bytea NOT NULL,
    session bytea NOT NULL,
    sequence bigint NOT NULL,
    request bytea NOT NULL,
    expires bigint NOT NULL,
    PRIMARY KEY (shard, scope)
);
CREATE INDEX idempotency_expiry ON mainstay.idempotency (shard, expires);
CREATE TABLE mainstay.escrow (
    shard smallint NOT NULL,
    account bytea NOT NULL,
    amount bigint NOT NULL,
    PRIMARY KEY (shard, account)
);
CREATE TABLE mainstay.blob (
    session bytea NOT NULL,
    digest bytea NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (session, digest)
);

ALTER TABLE mainstay.snapshot ALTER bytes SET STORAGE EXTERNAL;
ALTER TABLE mainstay.event ALTER bytes SET STORAGE EXTERNAL;
ALTER TABLE mainstay.frame ALTER bytes SET STORAGE EXTERNAL;
ALTER TABLE mainstay.blob ALTER bytes SET STORAGE EXTERNAL;

-- The tenant that this transaction is about; none where it did not say so.
CREATE FUNCTION mainstay.tenant() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN starts_with(current_setting('mainstay.tenant', true), 't:')
        THEN substr(current_setting('mainstay.tenant', true), 3) END
$$;
CREATE FUNCTION mainstay.everything() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(current_setting('mainstay.scope', true) = 'all', false)
$$;

ALTER TABLE mainstay.session ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE mainstay.snapshot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE mainstay.event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE mainstay.frame ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE mainstay.blob ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE mainstay.entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE mainstay.quiet ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE mainstay.wakeup ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE mainstay.idempotency ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE mainstay.escrow ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY everything ON mainstay.session USING ((SELECT mainstay.everything()));
CREATE POLICY everything ON mainstay.snapshot USING ((SELECT mainstay.everything()));
CREATE POLICY everything ON mainstay.event USING ((SELECT mainstay.everything()));
CREATE POLICY everything ON mainstay.frame USING ((SELECT mainstay.everything()));
CREATE POLICY everything ON mainstay.blob USING ((SELECT mainstay.everything()));
CREATE POLICY everything ON mainstay.entry USING ((SELECT mainstay.everything()));
CREATE POLICY everything ON mainstay.quiet USING ((SELECT mainstay.everything()));
CREATE POLICY everything ON mainstay.wakeup USING ((SELECT mainstay.everything()));
CREATE POLICY everything ON mainstay.idempotency USING ((SELECT mainstay.everything()));
CREATE POLICY everything ON mainstay.escrow USING ((SELECT mainstay.everything()));

CREATE POLICY own ON mainstay.session FOR SELECT USING (tenant = (SELECT mainstay.tenant()));
CREATE POLICY own ON mainstay.event FOR SELECT USING (tenant = (SELECT mainstay.tenant()));
CREATE POLICY own ON mainstay.frame FOR SELECT USING (tenant = (SELECT mainstay.tenant()));
CREATE POLICY own ON mainstay.blob FOR SELECT USING (tenant = (SELECT mainstay.tenant()));
CREATE POLICY own ON mainstay.entry FOR SELECT USING (tenant = (SELECT mainstay.tenant()));
