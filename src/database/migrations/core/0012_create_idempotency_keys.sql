-- Requests that were done, so that one that is repeated under its Idempotency-Key is answered and not done again.
-- Lock impact: creates a table.

-- A row is written in the transaction that does what was asked: where there is none, nothing was done.
create table nomaly.idempotency_keys (
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  -- The API key or browser that asked: others have keys of their own.
  principal text not null check (length(principal) <= 100),
  -- SHA-256 of the key, which itself is kept nowhere.
  key_hash bytea not null check (length(key_hash) = 32),
  -- SHA-256 of method, path and body.
  fingerprint bytea not null check (length(fingerprint) = 32),
  status smallint not null,
  -- Sealed under the key that the client has; null where it was too large.
  body bytea check (length(body) <= 140000),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  primary key (tenant_id, principal, key_hash)
);
create index on nomaly.idempotency_keys (expires_at);

alter table nomaly.idempotency_keys enable row level security;
alter table nomaly.idempotency_keys force row level security;
create policy tenant on nomaly.idempotency_keys to nomaly_app using (tenant_id = nomaly.current_tenant())
  with check (tenant_id = nomaly.current_tenant());
create policy system on nomaly.idempotency_keys to nomaly_system using (true) with check (true);

grant select, insert, update on nomaly.idempotency_keys to nomaly_app;
grant select, delete on nomaly.idempotency_keys to nomaly_system;
