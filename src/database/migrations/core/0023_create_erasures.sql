-- The ledger of erasures, and the one way in which what is append-only may forget who somebody was.
-- Lock impact: creates a table; those that get a policy are locked for a moment each, without being read.

-- Written before anything is erased, by the owner alone, so that the application can neither add to it nor use it.
create table nomaly.erasures (
  id uuid primary key,
  kind text not null check (kind in ('tenant', 'user', 'series')),
  -- Ids, and slow salted hashes of names: nothing that says who or what it was.
  subject jsonb not null check (jsonb_typeof(subject) = 'object'),
  requested_by text not null,
  requested_at timestamptz not null,
  -- What is done of it already, so that it goes on where it was interrupted.
  progress jsonb not null default '{}' check (jsonb_typeof(progress) = 'object'),
  finished_at timestamptz,
  receipt jsonb,
  check ((finished_at is null) = (receipt is null))
);
create index on nomaly.erasures (requested_at);
grant select on nomaly.erasures to nomaly_system;

-- Whether the transaction is one of an erasure that stands in the ledger and is not finished.
create function nomaly.is_erasing() returns boolean
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
  as $$
begin
  return exists (select from nomaly.erasures e
    where e.id::text = current_setting('nomaly.erasure', true) and e.finished_at is null);
end $$;

-- Answers that nobody can read are let go of.
grant update (body) on nomaly.idempotency_keys to nomaly_system;

-- The owner, whom row-level security binds like everybody, sees rows only then.
create policy erasure on nomaly.audit_log to nomaly_owner using (nomaly.is_erasing()) with check (nomaly.is_erasing());
create policy erasure on nomaly.live_versions to nomaly_owner using (nomaly.is_erasing()) with check (nomaly.is_erasing());

create or replace function nomaly.refuse_change() returns trigger
  language plpgsql as $$
begin
  -- Only a deleted tenant takes its entries along.
  if tg_op = 'DELETE' and pg_trigger_depth() > 1 then
    return old;
  end if;
  if tg_op = 'UPDATE' then
    -- An erasure takes away who it was; what was done, when, and in which tenant stays as it was.
    if current_user = 'nomaly_owner' and nomaly.is_erasing()
      and row(new.id, new.tenant_id, new.at, new.action, new.subject_kind)
        is not distinct from row(old.id, old.tenant_id, old.at, old.action, old.subject_kind) then
      return new;
    end if;
  end if;
  raise exception 'the audit log is append-only' using errcode = 'insufficient_privilege';
end $$;
