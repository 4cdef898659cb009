import { Button, Group, Modal, Progress, Stack, Text, TextInput } from '@mantine/core'
import { IconFileUpload } from '@tabler/icons-react'
import { type QueryClient, useQueryClient } from '@tanstack/react-query'
import { useLocation, useNavigate } from '@tanstack/react-router'
import { useEffect, useEffectEvent, useRef, useState } from 'react'
import { datasetQuery } from '../api/queries.ts'
import { formatCount } from '../layout/format-number.ts'
import { showNotice } from '../layout/notices.tsx'
import { ProblemAlert } from '../layout/problem-alert.tsx'
import classes from './import-dialog.module.css'
import { datasetNameOf, importFile, type ImportTarget } from './import-file.ts'
import {
  type ImportState,
  isImporting,
  setFilePicker,
  setImportState,
  useImportState,
} from './import-store.ts'
import { useFileDrop } from './file-drop.ts'

const ACCEPTED = '.csv,.tsv,.txt,.ndjson,.jsonl,.json,.gz,text/csv,application/x-ndjson,application/json'

/** Takes files dropped anywhere or picked, and shows how they come in. */
export function ImportDialog() {
  const client = useQueryClient()
  const navigate = useNavigate()
  const input = useRef<HTMLInputElement>(null)
  const intoDataset = useRef<string>(undefined)
  const openDataset = useLocation({
    select: ({ pathname }) => /^\/datasets\/([^/]+)/.exec(pathname)?.[1],
  })
  const state = useImportState()

  const start = async (file: File, target: ImportTarget): Promise<void> => {
    const dataset = await importFile(client, file, target)
    if (dataset === undefined) return
    showNotice(`${file.name} is in. Findings appear as they are made.`)
    await navigate({ to: '/datasets/$dataset', params: { dataset: dataset.id } })
  }

  const dropped = useEffectEvent((files: readonly File[]) => {
    const file = files[0]
    if (file === undefined || isImporting()) return
    if (files.length > 1) showNotice(`One file at a time: ${file.name} is taken.`)
    const suggested = datasetNameOf(file.name)
    if (openDataset !== undefined)
      setImportState({ step: 'asking', file, existing: nameOf(client, openDataset), suggested })
    else void start(file, { name: suggested, existing: false })
  })
  const dragging = useFileDrop((files) => dropped(files))

  useEffect(() => {
    setFilePicker((name) => {
      intoDataset.current = name
      input.current?.click()
    })
    return () => setFilePicker(undefined)
  }, [])

  return (
    <>
      <input
        ref={input}
        type="file"
        hidden
        aria-label="File with points"
        accept={ACCEPTED}
        data-testid="file-input"
        onChange={(event) => {
          const file = event.currentTarget.files?.[0]
          event.currentTarget.value = ''
          const name = intoDataset.current
          intoDataset.current = undefined
          if (file === undefined) return
          void start(file, { name: name ?? datasetNameOf(file.name), existing: name !== undefined })
        }}
      />
      {dragging && (
        <div className={classes.overlay}>
          <div className={classes.target}>
            <IconFileUpload size={40} stroke={1.3} />
            <span>Drop a CSV or NDJSON file</span>
          </div>
        </div>
      )}
      <Modal
        opened={state.step !== 'idle'}
        onClose={() => setImportState({ step: 'idle' })}
        withCloseButton={state.step !== 'sending'}
        closeOnClickOutside={false}
        closeOnEscape={state.step !== 'sending'}
        title={titleOf(state)}
      >
        {state.step === 'asking' && (
          <WhereTo
            key={state.file.name}
            state={state}
            onChoose={(target) => void start(state.file, target)}
          />
        )}
        {state.step === 'sending' && (
          <Stack gap="xs">
            <Progress value={Math.max(2, state.share * 100)} animated aria-label="Progress of the file" />
            <Text size="sm" c="dimmed" role="status">
              {state.share === 0
                ? `Making the dataset ${state.datasetName}`
                : `${formatCount(state.report.inserted + state.report.duplicates)} points stored`}
            </Text>
          </Stack>
        )}
        {state.step === 'failed' && (
          <Stack gap="sm">
            <ProblemAlert error={state.error} />
            {state.report !== undefined && (
              <Text size="sm">
                {formatCount(state.report.inserted)} points were stored before that. Sending the file again
                does no harm: points that are there already are skipped.
              </Text>
            )}
          </Stack>
        )}
      </Modal>
    </>
  )
}

function nameOf(client: QueryClient, dataset: string): string {
  const idOrName = decodeURIComponent(dataset)
  return client.getQueryData(datasetQuery(idOrName).queryKey)?.name ?? idOrName
}

function titleOf(state: ImportState): string {
  if (state.step === 'sending') return `Bringing in ${state.fileName}`
  if (state.step === 'asking') return 'Where should the points go?'
  return state.step === 'failed' ? `${state.file.name} did not come in` : ''
}

function WhereTo(props: {
  state: Extract<ImportState, { step: 'asking' }>
  onChoose: (target: ImportTarget) => void
}) {
  const { existing, suggested } = props.state
  const [name, setName] = useState(suggested)
  return (
    <Stack gap="md">
      <div>
        <Text size="sm" mb="xs">
          There is a dataset named <b>{existing}</b>. Points that it holds already are skipped.
        </Text>
        <Button data-autofocus onClick={() => props.onChoose({ name: existing, existing: true })}>
          Add to {existing}
        </Button>
      </div>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          props.onChoose({ name: name.trim(), existing: false })
        }}
      >
        <Group align="end" gap="xs" wrap="nowrap">
          <TextInput
            label="Or a new dataset"
            className={classes.name}
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <Button type="submit" variant="default" disabled={name.trim() === ''}>
            Create
          </Button>
        </Group>
      </form>
    </Stack>
  )
}
