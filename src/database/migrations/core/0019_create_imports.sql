-- What comes from another system: its users with their grants, detectors of rows with their results and findings, what is kept for reference,
-- the ledger of imports and what they set aside.
-- Lock impact: none, creates tables only.

-- People of a tenant, kept for when they can sign in: until then nothing looks at the hashes.
create table nomaly.users (
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  -- The same in each tenant that the person has a grant in.
  id uuid not null,
  email text not null check (length(email) between 1 and 320),
  username text not null check (length(username) between 1 and 200),
  first_name text check (length(first_name) <= 200),
  last_name text check (length(last_name) <= 200),
  status text not null check (length(status) between 1 and 50),
  -- bcrypt. Null: nothing that could be checked was kept.
  password_hash text check (password_hash ~ '^\$2[abxy]\$[0-9]{2}\$[./A-Za-z0-9]{53}$'),
  settings jsonb not null default '{}',
  created_at timestamptz not null,
  updated_at timestamptz not null,
  last_login_at timestamptz,
  email_verified_at timestamptz,
  primary key (tenant_id, id)
);
create unique index users_email_key on nomaly.users (tenant_id, lower(email));

create table nomaly.role_grants (
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  user_id uuid not null,
  role text not null check (length(role) between 1 and 100),
  permissions jsonb,
  granted_at timestamptz not null,
  granted_by uuid,
  expires_at timestamptz,
  primary key (tenant_id, user_id, role),
  foreign key (tenant_id, user_id) references nomaly.users on delete cascade
);

-- Detectors that judge the rows of a table at once, as they were set up elsewhere; they are not run here.
create table nomaly.row_detectors (
  id uuid primary key,
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  name text not null check (length(name) between 1 and 400),
  algorithm text not null check (length(algorithm) between 1 and 200),
  -- The share of rows that is taken for anomalous.
  contamination float8 not null check (contamination between 0 and 1),
  parameters jsonb not null default '{}',
  is_fitted boolean,
  trained_at timestamptz,
  metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
  created_at timestamptz not null,
  updated_at timestamptz not null,
  unique (tenant_id, id)
);
create index on nomaly.row_detectors (tenant_id, created_at);

-- What such a detector said of each row of a dataset: one entry of the arrays a row.
create table nomaly.row_results (
  id uuid primary key,
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  dataset_id uuid not null,
  detector_id uuid not null,
  scores float8[] not null,
  confidences float8[],
  labels boolean[],
  threshold float8,
  execution_ms float8,
  metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
  created_at timestamptz not null,
  unique (tenant_id, id),
  foreign key (tenant_id, dataset_id) references nomaly.datasets (tenant_id, id) on delete cascade,
  foreign key (tenant_id, detector_id) references nomaly.row_detectors (tenant_id, id) on delete cascade
);
create index on nomaly.row_results (dataset_id, created_at desc);
create index on nomaly.row_results (detector_id);

create table nomaly.row_findings (
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  result_id uuid not null,
  -- From 0.
  row_index int not null check (row_index >= 0),
  score float8,
  severity text not null check (severity in ('low', 'medium', 'high', 'critical')),
  state text not null default 'open' check (state in ('open', 'acknowledged', 'resolved', 'dismissed')),
  primary key (result_id, row_index),
  foreign key (tenant_id, result_id) references nomaly.row_results (tenant_id, id) on delete cascade
);

-- What has no place of its own here, as it was: training jobs, custom roles, audit entries, limits of tenants, …
create table nomaly.imported_records (
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  source_table text not null check (length(source_table) between 1 and 200),
  source_id text not null check (length(source_id) between 1 and 400),
  record jsonb not null check (jsonb_typeof(record) = 'object'),
  primary key (tenant_id, source_table, source_id)
);

-- One source under one choice of options. An operator's matter: only the system sees it.
create table nomaly.imports (
  id uuid primary key default gen_random_uuid(),
  -- SHA-256 of what was read.
  fingerprint bytea not null check (length(fingerprint) = 32),
  options jsonb not null,
  source text not null,
  begun_at timestamptz not null default now(),
  completed_at timestamptz,
  report jsonb,
  unique (fingerprint, options)
);

-- How far each table of a source has come, moved on in the transaction that stores what was read.
create table nomaly.import_places (
  import_id uuid not null references nomaly.imports on delete cascade,
  source_table text not null,
  -- Of the last row that is dealt with.
  place bigint not null,
  is_done boolean not null,
  tally jsonb not null,
  primary key (import_id, source_table)
);

-- Rows that could not be taken over without guessing, and why. What is secret in them is left out.
create table nomaly.import_quarantine (
  import_id uuid not null references nomaly.imports on delete cascade,
  tenant_id uuid not null references nomaly.tenants on delete cascade,
  source_table text not null,
  place bigint not null,
  source_id text,
  reason text not null,
  detail text not null,
  record jsonb not null,
  primary key (import_id, source_table, place, tenant_id)
);
create index on nomaly.import_quarantine (tenant_id);

do $$
declare
  name text;
begin
  foreach name in array array['users', 'role_grants', 'row_detectors', 'row_results', 'row_findings', 'imported_records', 'import_quarantine'] loop
    execute format('alter table nomaly.%I enable row level security', name);
    execute format('alter table nomaly.%I force row level security', name);
    execute format(
      'create policy tenant on nomaly.%I to nomaly_app using (tenant_id = nomaly.current_tenant())
       with check (tenant_id = nomaly.current_tenant())', name);
    execute format('create policy system on nomaly.%I to nomaly_system using (true) with check (true)', name);
    execute format('grant select, insert, update, delete on nomaly.%I to nomaly_system', name);
  end loop;
end $$;

grant select, insert, update, delete on nomaly.imports, nomaly.import_places to nomaly_system;
grant select on nomaly.role_grants, nomaly.row_detectors, nomaly.row_results, nomaly.row_findings, nomaly.imported_records,
  nomaly.import_quarantine to nomaly_app;
-- The application never sees a hash.
grant select (tenant_id, id, email, username, first_name, last_name, status, settings, created_at, updated_at, last_login_at,
  email_verified_at) on nomaly.users to nomaly_app;
