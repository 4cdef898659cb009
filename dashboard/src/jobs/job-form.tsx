import { Button, Group, NumberInput, Select, Stack, TextInput } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { answer, api } from '../api/client.ts'
import type { Algorithm, NewJob } from '../api/entities.ts'
import { asProblem } from '../api/problem.ts'
import { datasetsQuery, seriesQuery } from '../api/queries.ts'
import { ProblemAlert } from '../layout/problem-alert.tsx'
import { budgetSpans } from './job-words.ts'
import classes from './jobs-page.module.css'

const algorithms: { value: Algorithm; label: string }[] = [
  { value: 'auto', label: 'The one that fits each series' },
  { value: 'robust-z', label: 'robust-z: distance from the median' },
  { value: 'ewma', label: 'ewma: distance from a moving average' },
  { value: 'seasonal-residual', label: 'seasonal-residual: daily or weekly rhythm' },
]
const schedules = [
  { value: 'streaming', label: 'As points arrive' },
  { value: 'once', label: 'Once, now' },
  { value: 'cron', label: 'On a schedule' },
]

/** Makes a job; refused fields are told beside them. */
export function JobForm({ onDone }: { onDone: () => void }) {
  const client = useQueryClient()
  const datasets = useQuery(datasetsQuery)
  const [dataset, setDataset] = useState<string | null>(null)
  const [metric, setMetric] = useState<string | null>(null)
  const [algorithm, setAlgorithm] = useState<Algorithm>('auto')
  const [alarms, setAlarms] = useState<number | string>(1)
  const [span, setSpan] = useState('604800')
  const [kind, setKind] = useState('streaming')
  const [cron, setCron] = useState('0 * * * *')
  const [name, setName] = useState('')
  const series = useQuery({ ...seriesQuery(dataset ?? ''), enabled: dataset !== null })
  const metrics = [...new Set(series.data?.map((each) => each.metric))]

  const create = useMutation({
    meta: { quiet: true },
    mutationFn: (body: NewJob) => answer(api.POST('/v1/jobs', { body })),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: ['jobs'] })
      onDone()
    },
  })
  const fields = create.error === null ? [] : asProblem(create.error).fields
  const problemOf = (...names: string[]): string | undefined =>
    fields.find(({ field }) => names.some((each) => field === each || field.startsWith(`${each}.`)))?.reason
  const submit = (): void => {
    if (dataset === null) return
    create.mutate({
      dataset,
      ...(name.trim() === '' ? {} : { name: name.trim() }),
      detector: { algorithm, budget: { alarms: Number(alarms), perSeconds: Number(span) } },
      schedule:
        kind === 'cron'
          ? { kind, cron: cron.trim(), timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone }
          : { kind: kind === 'once' ? 'once' : 'streaming' },
      ...(metric === null ? {} : { selector: { metric } }),
    })
  }

  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        submit()
      }}
    >
      <Stack gap="md">
        <Select
          label="Dataset"
          required
          searchable
          data={datasets.data?.map(({ id, name: label }) => ({ value: id, label })) ?? []}
          value={dataset}
          onChange={(value) => {
            setDataset(value)
            setMetric(null)
          }}
          error={problemOf('dataset')}
        />
        <Select
          label="Metric"
          placeholder="All series"
          clearable
          searchable
          disabled={dataset === null}
          data={metrics}
          value={metric}
          onChange={setMetric}
          error={problemOf('selector')}
        />
        <Select
          label="Detector"
          allowDeselect={false}
          data={algorithms}
          value={algorithm}
          onChange={(value) => setAlgorithm(algorithms.find((each) => each.value === value)?.value ?? 'auto')}
          error={problemOf('detector.algorithm')}
        />
        <div className={classes.phrase} role="group" aria-label="False-alarm budget">
          <span>It may raise at most</span>
          <NumberInput
            className={classes.phraseNumber}
            aria-label="False alarms"
            min={0.01}
            max={1000}
            value={alarms}
            onChange={setAlarms}
            error={problemOf('detector.budget')}
          />
          <span>false {Number(alarms) === 1 ? 'alarm' : 'alarms'} per</span>
          <Select
            className={classes.phraseUnit}
            aria-label="Per"
            allowDeselect={false}
            data={budgetSpans}
            value={span}
            onChange={(value) => setSpan(value ?? '604800')}
          />
          <span>per series.</span>
        </div>
        <Select
          label="When"
          allowDeselect={false}
          data={schedules}
          value={kind}
          onChange={(value) => setKind(value ?? 'streaming')}
        />
        {kind === 'cron' && (
          <TextInput
            label="Schedule"
            description="Cron: minute, hour, day of month, month, day of week; in your time zone."
            value={cron}
            onChange={(event) => setCron(event.currentTarget.value)}
            error={problemOf('schedule')}
          />
        )}
        <TextInput
          label="Name"
          placeholder="Optional"
          maxLength={200}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          error={problemOf('name')}
        />
        {create.isError && <ProblemAlert error={create.error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={onDone}>
            Cancel
          </Button>
          <Button type="submit" loading={create.isPending} disabled={dataset === null}>
            Create the job
          </Button>
        </Group>
      </Stack>
    </form>
  )
}
