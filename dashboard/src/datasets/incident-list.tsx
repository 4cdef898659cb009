import type { ChartIncident } from '../charts/chart-marks.ts'
import { TimeText } from '../layout/time-text.tsx'
import classes from './incident-list.module.css'

/** What is known to have happened, numbered as in the chart; a click goes there. */
export function IncidentList(props: {
  incidents: readonly ChartIncident[]
  onGoTo: (incident: ChartIncident) => void
}) {
  if (props.incidents.length === 0) return null
  return (
    <div className={classes.list}>
      <span className={classes.title}>What really happened here:</span>
      {props.incidents.map((incident, index) => (
        <button
          key={incident.fromMs}
          type="button"
          className={classes.incident}
          onClick={() => props.onGoTo(incident)}
        >
          <b>{index + 1}</b>
          <span>{incident.what}</span>
          <small>
            <TimeText at={incident.fromMs} />
          </small>
        </button>
      ))}
    </div>
  )
}
