-- What every database of an installation has, that of the metrics too where it is another one: the tenant of a transaction, and how an
-- unknown outcome is looked up.
-- Lock impact: none, creates a table and a function only.

-- The tenant of the running transaction; null, and so no row, where it was not set.
create function nomaly.current_tenant() returns uuid
  language sql stable parallel safe
  return nullif(current_setting('nomaly.tenant_id', true), '')::uuid;

-- Written by every transaction, so that an unknown outcome can be looked up; pruned after an hour.
create table nomaly.commit_markers (
  marker uuid primary key,
  -- `refused` was written by who looked: the transaction of that marker can no longer commit.
  verdict text not null default 'committed' check (verdict in ('committed', 'refused')),
  written_at timestamptz not null default now()
);
create index on nomaly.commit_markers (written_at);
grant insert on nomaly.commit_markers to nomaly_app;
grant select, insert, delete on nomaly.commit_markers to nomaly_system;
