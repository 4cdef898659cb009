import type { AnomalyState, Severity } from '../api/entities.ts'
import classes from './severity-mark.module.css'

/** A severity as a coloured shape and word; the shape tells it without colour. */
export function SeverityMark({ severity, dot = false }: { severity: Severity; dot?: boolean }) {
  return (
    <span className={classes.mark} data-severity={severity} title={dot ? severity : undefined}>
      <i
        className={classes.dot}
        aria-hidden={!dot}
        aria-label={dot ? severity : undefined}
        role={dot ? 'img' : undefined}
      />
      {!dot && severity}
    </span>
  )
}

/** What people decided about a finding, as a quiet word. */
export function StateMark({ state }: { state: AnomalyState }) {
  return (
    <span className={classes.state} data-state={state}>
      {state}
    </span>
  )
}
