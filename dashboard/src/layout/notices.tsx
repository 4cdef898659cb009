import { Notification } from '@mantine/core'
import { IconCheck, IconX } from '@tabler/icons-react'
import { useSyncExternalStore } from 'react'
import { asProblem } from '../api/problem.ts'
import classes from './notices.module.css'
import { ProblemText } from './problem-alert.tsx'

interface Notice {
  readonly id: number
  readonly text?: string
  readonly error?: unknown
}

let notices: readonly Notice[] = []
let nextId = 1
const listeners = new Set<() => void>()

/** Shows a short good news for a few seconds. */
export function showNotice(text: string): void {
  add({ id: nextId++, text }, 4000)
}

/** Shows what went wrong, long enough to be read. */
export function showProblem(error: unknown): void {
  add({ id: nextId++, error }, 12_000)
}

/** Where notices appear. */
export function Notices() {
  const shown = useSyncExternalStore(subscribe, () => notices)
  return (
    <div className={classes.stack} aria-live="polite">
      {shown.map((notice) =>
        notice.error === undefined ? (
          <Notification
            key={notice.id}
            color="teal"
            icon={<IconCheck size={16} />}
            onClose={() => remove(notice.id)}
            closeButtonProps={{ 'aria-label': 'Close' }}
          >
            {notice.text}
          </Notification>
        ) : (
          <Notification
            key={notice.id}
            color="red"
            icon={<IconX size={16} />}
            title={asProblem(notice.error).title}
            onClose={() => remove(notice.id)}
            closeButtonProps={{ 'aria-label': 'Close' }}
          >
            <ProblemText error={notice.error} />
          </Notification>
        ),
      )}
    </div>
  )
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

function change(next: readonly Notice[]): void {
  notices = next
  for (const listener of listeners) listener()
}

function add(notice: Notice, shownMs: number): void {
  change([...notices, notice].slice(-4))
  setTimeout(() => remove(notice.id), shownMs)
}

function remove(id: number): void {
  change(notices.filter((notice) => notice.id !== id))
}
