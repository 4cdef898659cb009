import { TextInput } from '@mantine/core'
import { IconSearch } from '@tabler/icons-react'
import { useDeferredValue, useState } from 'react'
import type { Series } from '../api/entities.ts'
import { Sparkline } from '../charts/sparkline.tsx'
import { SeriesName } from '../layout/series-name.tsx'
import classes from './series-list.module.css'

interface SeriesListProps {
  readonly series: readonly Series[]
  readonly openBySeries: ReadonlyMap<number, number>
  readonly selectedId: number | undefined
  readonly onSelect: (series: Series) => void
}

const FILTER_FROM = 7

/** Every series of a dataset with its last values and open findings; can be filtered by metric and tags. */
export function SeriesList({ series, openBySeries, selectedId, onSelect }: SeriesListProps) {
  const [typed, setTyped] = useState('')
  const words = useDeferredValue(typed).toLowerCase().split(/\s+/).filter(Boolean)
  const shown = series.filter((each) => {
    const text = seriesText(each)
    return words.every((word) => text.includes(word))
  })
  return (
    <div className={classes.wrap}>
      {series.length >= FILTER_FROM && (
        <TextInput
          size="xs"
          m="xs"
          aria-label="Filter the series"
          placeholder={`Filter ${series.length} series`}
          leftSection={<IconSearch size={14} />}
          value={typed}
          onChange={(event) => setTyped(event.currentTarget.value)}
        />
      )}
      <div className={classes.list}>
        {shown.map((each) => {
          const open = openBySeries.get(each.id) ?? 0
          return (
            <button
              key={each.id}
              type="button"
              className={classes.row}
              aria-pressed={each.id === selectedId}
              onClick={() => onSelect(each)}
            >
              <span className={classes.title}>
                <SeriesName metric={each.metric} tags={each.tags} />
                {open > 0 && (
                  <span className={classes.open} title={`${open} open findings`}>
                    {open}
                  </span>
                )}
              </span>
              <Sparkline datasetId={each.datasetId} seriesId={each.id} label={each.metric} />
            </button>
          )
        })}
        {shown.length === 0 && <p className={classes.none}>No series matches.</p>}
      </div>
    </div>
  )
}

/** A series in one lower-case line, for filters. */
export function seriesText({ metric, tags }: Pick<Series, 'metric' | 'tags'>): string {
  return [metric, ...Object.entries(tags).map(([key, value]) => `${key}=${value}`)].join(' ').toLowerCase()
}
