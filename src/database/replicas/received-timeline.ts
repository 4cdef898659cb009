import type pg from 'pg'

/**
 * Lets the application see which timeline a standby receives, and nothing else of what takes `pg_read_all_stats`: so that a standby is asked again as
 * soon as it follows a new primary. Only a superuser can do so; without it that is known some minutes later.
 */
export async function createReceivedTimeline(client: pg.Client): Promise<void> {
  await client.query(`do $$ begin
    if (select rolsuper from pg_roles where rolname = current_user)
      and to_regprocedure('nomaly.received_timeline()') is null then
      create function nomaly.received_timeline() returns integer
        language sql stable security definer set search_path = pg_catalog
        return (select received_tli from pg_catalog.pg_stat_wal_receiver);
      revoke all on function nomaly.received_timeline() from public;
      grant execute on function nomaly.received_timeline() to nomaly_system;
    end if; end $$`)
}

/** Asks whether a server has that function by now. */
export const HAS_RECEIVED_TIMELINE = `select to_regprocedure('nomaly.received_timeline()') is not null as has`
