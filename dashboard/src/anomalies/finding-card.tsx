import { ActionIcon, Tooltip } from '@mantine/core'
import { IconX } from '@tabler/icons-react'
import type { ReactNode } from 'react'
import type { Anomaly } from '../api/entities.ts'
import { formatProbability, formatValue } from '../layout/format-number.ts'
import { formatDuration } from '../layout/format-time.ts'
import { SeverityMark, StateMark } from '../layout/severity-mark.tsx'
import { TimeText } from '../layout/time-text.tsx'
import { DecisionButtons } from './decision-buttons.tsx'
import classes from './finding-card.module.css'

interface FindingCardProps {
  readonly anomaly: Anomaly
  /** Why the detector was chosen, where that is known. */
  readonly reason: string | undefined
  readonly onClose: () => void
}

/** One finding in full: what was seen, what was expected, how rare that is, and what to do about it. */
export function FindingCard({ anomaly, reason, onClose }: FindingCardProps) {
  const spanMs = Date.parse(anomaly.endedAt) - Date.parse(anomaly.startedAt)
  return (
    <article className={classes.card} data-severity={anomaly.severity} aria-label="Selected finding">
      <div className={classes.head}>
        <SeverityMark severity={anomaly.severity} />
        <StateMark state={anomaly.state} />
        {anomaly.ongoing && <span className={classes.ongoing}>still going on</span>}
        <ActionIcon
          variant="subtle"
          color="gray"
          aria-label="Close"
          onClick={onClose}
          className={classes.close}
        >
          <IconX size={16} />
        </ActionIcon>
      </div>
      <p className={classes.explanation} data-testid="finding-explanation">
        {anomaly.explanation}
      </p>
      <dl className={classes.facts}>
        <Fact name="Observed">{formatValue(anomaly.observed, anomaly.metric)}</Fact>
        <Fact name="Expected">
          {`${formatValue(anomaly.lower, anomaly.metric)} to ${formatValue(anomaly.upper, anomaly.metric)}`}
        </Fact>
        <Fact name="Score">
          <Tooltip label={`Tail probability ${anomaly.probability.toExponential(2)}`}>
            <span>
              {anomaly.score.toFixed(2)} <small>({formatProbability(anomaly.probability)})</small>
            </span>
          </Tooltip>
        </Fact>
        <Fact name="When">
          <TimeText at={anomaly.startedAt} />
          {spanMs > 0 && <small> for {formatDuration(spanMs)}</small>}
        </Fact>
        <Fact name="Raised">
          <TimeText at={anomaly.detectedAt} />
        </Fact>
        <Fact name="Detector">{anomaly.algorithm}</Fact>
      </dl>
      {reason !== undefined && <p className={classes.reason}>Why this detector: {reason}</p>}
      {anomaly.note !== null && (
        <blockquote className={classes.note}>
          {anomaly.note}
          {anomaly.stateChangedAt !== null && (
            <footer>
              {anomaly.stateChangedBy ?? 'someone'}, <TimeText at={anomaly.stateChangedAt} />
            </footer>
          )}
        </blockquote>
      )}
      <DecisionButtons anomaly={anomaly} />
    </article>
  )
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}
