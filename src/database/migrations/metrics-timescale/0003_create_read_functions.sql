-- As metrics.closed_hours, for hypertables.
-- Lock impact: none, creates a function only.

create function metrics.timescale_closed_hours(from_day timestamptz, to_day timestamptz)
  returns table (retention text, micros double precision, is_marked boolean)
  language plpgsql stable parallel safe
  as $$
begin
  return query select s.retention, date_part('epoch', s.closed_until) * 1000000, case s.retention
      when 'forever' then exists (select from metrics.timescale_late_forever where day >= from_day and day < to_day)
      when 'year' then exists (select from metrics.timescale_late_year where day >= from_day and day < to_day)
      when 'month' then exists (select from metrics.timescale_late_month where day >= from_day and day < to_day)
      else exists (select from metrics.timescale_late_week where day >= from_day and day < to_day)
    end from metrics.timescale_state s;
end $$;

revoke execute on function metrics.timescale_closed_hours from public;
grant execute on function metrics.timescale_closed_hours to nomaly_system;
