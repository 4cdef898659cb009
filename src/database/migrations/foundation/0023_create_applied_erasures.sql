-- Which erasures this database has seen done: one that was restored from before an erasure lacks it, and has it done again before it is used.
-- Lock impact: none, creates a table only.

create table nomaly.applied_erasures (
  id uuid primary key,
  applied_at timestamptz not null default now()
);
grant select on nomaly.applied_erasures to nomaly_system;
