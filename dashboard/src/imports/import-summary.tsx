import { ActionIcon } from '@mantine/core'
import { IconX } from '@tabler/icons-react'
import { formatCount } from '../layout/format-number.ts'
import classes from './import-summary.module.css'
import { setImportReport, useImportReport } from './import-store.ts'

/** What a file brought: points, columns as they were understood, and the lines that were refused. */
export function ImportSummary({ datasetId }: { datasetId: string }) {
  const report = useImportReport(datasetId)
  if (report === undefined) return null
  const { inserted, duplicates, conflicting, rejected, rejectedTotal, columns } = report
  const parts = [
    `${formatCount(inserted)} new points`,
    duplicates > 0 && `${formatCount(duplicates)} already there`,
    conflicting > 0 && `${formatCount(conflicting)} differed from what is stored and were left out`,
    rejectedTotal > 0 && `${formatCount(rejectedTotal)} ${rejectedTotal === 1 ? 'line' : 'lines'} refused`,
  ].filter((part) => part !== false)
  return (
    <section className={classes.summary} aria-label={`What ${report.fileName} brought`}>
      <div className={classes.head}>
        <p>
          <b>{report.fileName}</b>: {parts.join(', ')}.
        </p>
        <ActionIcon
          variant="subtle"
          color="gray"
          aria-label="Put away"
          onClick={() => setImportReport({ id: datasetId }, undefined)}
        >
          <IconX size={16} />
        </ActionIcon>
      </div>
      {columns.length > 0 && (
        <ul className={classes.columns}>
          {columns.map((column) => (
            <li key={`${column.role} ${column.name}`}>
              <code>{column.name}</code>
              {column.role !== '' && <span className={classes.role}>{column.role}</span>}
              <span>{column.reason}</span>
            </li>
          ))}
        </ul>
      )}
      {rejectedTotal > 0 && (
        <details>
          <summary>
            {rejectedTotal > rejected.length
              ? `The first ${rejected.length} of ${formatCount(rejectedTotal)} refused lines`
              : 'Refused lines'}
          </summary>
          <ul className={classes.rejected}>
            {rejected.map((each, index) => (
              <li key={index}>
                <b>line {each.line}</b> {each.reason}
              </li>
            ))}
          </ul>
        </details>
      )}
    </section>
  )
}
