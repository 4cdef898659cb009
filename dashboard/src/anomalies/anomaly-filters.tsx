import { Select } from '@mantine/core'
import { useNavigate } from '@tanstack/react-router'
import type { Dataset } from '../api/entities.ts'
import type { AnomaliesSearch } from '../router.tsx'
import classes from './anomaly-filters.module.css'

const states = [
  { value: 'open', label: 'Open' },
  { value: 'acknowledged', label: 'Acknowledged' },
  { value: 'resolved', label: 'Resolved' },
  { value: 'dismissed', label: 'Dismissed' },
  { value: 'any', label: 'Any state' },
]
const severities = [
  { value: 'critical', label: 'Critical' },
  { value: 'high', label: 'High' },
  { value: 'medium', label: 'Medium' },
  { value: 'low', label: 'Low' },
]
const times = [
  { value: '1', label: 'Last day' },
  { value: '7', label: 'Last 7 days' },
  { value: '30', label: 'Last 30 days' },
]

/** What narrows the list of findings; kept in the address, so that it can be sent to someone. */
export function AnomalyFilters({
  search,
  datasets,
}: {
  search: AnomaliesSearch
  datasets: readonly Dataset[]
}) {
  const navigate = useNavigate()
  const set = (key: keyof AnomaliesSearch, value: string | number | null): void =>
    void navigate({
      to: '/anomalies',
      replace: true,
      search: Object.fromEntries(
        Object.entries({ ...search, [key]: value }).filter(([, each]) => each !== null && each !== undefined),
      ) as AnomaliesSearch,
    })
  const common = { size: 'sm', clearable: true, comboboxProps: { shadow: 'md' } } as const
  return (
    <div className={classes.filters}>
      <Select
        {...common}
        clearable={false}
        aria-label="State"
        data={states}
        value={search.state ?? 'open'}
        onChange={(value) => set('state', value === 'open' ? null : value)}
      />
      <Select
        {...common}
        aria-label="Severity"
        placeholder="Any severity"
        data={severities}
        value={search.severity ?? null}
        onChange={(value) => set('severity', value)}
      />
      <Select
        {...common}
        searchable
        aria-label="Dataset"
        placeholder="Any dataset"
        data={datasets.map(({ id, name }) => ({ value: id, label: name }))}
        value={search.dataset ?? null}
        onChange={(value) => set('dataset', value)}
      />
      <Select
        {...common}
        aria-label="Time"
        placeholder="Any time"
        data={times}
        value={search.days === undefined ? null : String(search.days)}
        onChange={(value) => set('days', value === null ? null : Number(value))}
      />
    </div>
  )
}
