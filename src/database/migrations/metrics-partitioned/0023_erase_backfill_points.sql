-- Takes series that are erased out of what backfills have gathered and not yet merged.
-- Lock impact: none, creates a function only.

create function metrics.erase_backfill_points(number bigint, series integer[]) returns bigint
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
  as $$
declare
  name text := 'backfill_points_' || number;
  erased bigint := 0;
begin
  -- Of one that has just failed for good the table may be gone.
  if to_regclass(format('metrics.%I', name)) is not null then
    execute format('delete from metrics.%I where series_id = any($1)', name) using series;
    get diagnostics erased = row_count;
  end if;
  return erased;
end $$;
revoke execute on function metrics.erase_backfill_points from public;
grant execute on function metrics.erase_backfill_points to nomaly_system;
