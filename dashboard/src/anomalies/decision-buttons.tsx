import { Button, Group, Popover, Stack, Textarea } from '@mantine/core'
import { IconArrowBackUp, IconCheck } from '@tabler/icons-react'
import { useState } from 'react'
import type { Anomaly } from '../api/entities.ts'
import { useDecideAnomaly } from './decide-anomaly.ts'

/** The buttons that fit the state of a finding; dismissing asks for a note. */
export function DecisionButtons({ anomaly }: { anomaly: Anomaly }) {
  const decide = useDecideAnomaly()
  const act = (decision: 'acknowledge' | 'resolve' | 'reopen'): void => decide.mutate({ anomaly, decision })
  const { state } = anomaly
  return (
    <Group gap="xs">
      {state === 'open' && (
        <Button
          size="xs"
          leftSection={<IconCheck size={15} />}
          onClick={() => act('acknowledge')}
          data-testid="acknowledge"
        >
          Acknowledge
        </Button>
      )}
      {(state === 'open' || state === 'acknowledged') && (
        <>
          <Button size="xs" variant="default" onClick={() => act('resolve')}>
            Resolve
          </Button>
          <DismissButton onDismiss={(note) => decide.mutate({ anomaly, decision: 'dismiss', note })} />
        </>
      )}
      {state !== 'open' && (
        <Button
          size="xs"
          variant="default"
          leftSection={<IconArrowBackUp size={15} />}
          onClick={() => act('reopen')}
        >
          Reopen
        </Button>
      )}
    </Group>
  )
}

function DismissButton({ onDismiss }: { onDismiss: (note: string) => void }) {
  const [opened, setOpened] = useState(false)
  return (
    <Popover
      opened={opened}
      onChange={setOpened}
      trapFocus
      withArrow
      shadow="md"
      width={300}
      position="bottom-start"
    >
      <Popover.Target>
        <Button size="xs" variant="default" onClick={() => setOpened(!opened)} data-testid="dismiss">
          Dismiss
        </Button>
      </Popover.Target>
      <Popover.Dropdown>
        <DismissForm
          onDismiss={(note) => {
            setOpened(false)
            onDismiss(note)
          }}
        />
      </Popover.Dropdown>
    </Popover>
  )
}

/** Asks why a finding is put aside; Enter sends, the note may be empty. */
export function DismissForm({ onDismiss }: { onDismiss: (note: string) => void }) {
  const [note, setNote] = useState('')
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        onDismiss(note.trim())
      }}
    >
      <Stack gap="xs">
        <Textarea
          label="Why is this not worth attention?"
          description="Optional; kept with the finding."
          data-autofocus
          rows={2}
          maxLength={1000}
          value={note}
          onChange={(event) => setNote(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== 'Enter' || event.shiftKey) return
            event.preventDefault()
            onDismiss(note.trim())
          }}
        />
        <Button type="submit" size="xs">
          Dismiss the finding
        </Button>
      </Stack>
    </form>
  )
}
