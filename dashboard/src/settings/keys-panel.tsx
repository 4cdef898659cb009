import { Button, Select, Skeleton, TextInput } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { answer, api } from '../api/client.ts'
import type { ApiKey, Role } from '../api/entities.ts'
import { keysQuery } from '../api/queries.ts'
import { Panel } from '../layout/panel.tsx'
import { ProblemAlert } from '../layout/problem-alert.tsx'
import { TimeText } from '../layout/time-text.tsx'
import { SecretOnce } from './secret-once.tsx'
import classes from './settings-page.module.css'

const roles: { value: Role; label: string }[] = [
  { value: 'viewer', label: 'viewer: reads' },
  { value: 'editor', label: 'editor: writes' },
  { value: 'admin', label: 'admin: everything' },
]

/** The API keys of the tenant: list, make, revoke. */
export function KeysPanel() {
  const client = useQueryClient()
  const keys = useQuery(keysQuery)
  const [name, setName] = useState('')
  const [role, setRole] = useState<Role>('editor')
  const [made, setMade] = useState<{ name: string; key: string }>()
  const create = useMutation({
    meta: { quiet: true },
    mutationFn: () => answer(api.POST('/v1/keys', { body: { name: name.trim(), role } })),
    onSuccess: (key) => {
      setMade(key)
      setName('')
      return client.invalidateQueries({ queryKey: ['keys'] })
    },
  })
  return (
    <Panel title="API keys">
      {keys.isPending && <Skeleton height={60} mb="md" />}
      {keys.isLoadingError && <ProblemAlert error={keys.error} onRetry={() => void keys.refetch()} />}
      <ul className={classes.keys}>
        {keys.data?.map((key) => (
          <KeyRow key={key.id} apiKey={key} />
        ))}
      </ul>
      {made !== undefined && (
        <SecretOnce title={`The key “${made.name}”`} secret={made.key} onClose={() => setMade(undefined)} />
      )}
      <form
        className={classes.form}
        onSubmit={(event) => {
          event.preventDefault()
          create.mutate()
        }}
      >
        <TextInput
          className={classes.grow}
          label="New key"
          placeholder="What it is for"
          maxLength={100}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
        />
        <Select
          label="May"
          allowDeselect={false}
          data={roles}
          value={role}
          onChange={(value) => setRole(value ?? 'editor')}
        />
        <Button type="submit" loading={create.isPending} disabled={name.trim() === ''}>
          Create
        </Button>
      </form>
      {create.isError && <ProblemAlert error={create.error} />}
    </Panel>
  )
}

function KeyRow({ apiKey }: { apiKey: ApiKey }) {
  const client = useQueryClient()
  const [sure, setSure] = useState(false)
  const revoke = useMutation({
    mutationFn: () => answer(api.DELETE('/v1/keys/{id}', { params: { path: { id: apiKey.id } } })),
    onSettled: () => client.invalidateQueries({ queryKey: ['keys'] }),
  })
  return (
    <li>
      <span>
        {apiKey.name} <code className={classes.quiet}>{apiKey.prefix}…</code>
      </span>
      <span className={classes.quiet}>{apiKey.role}</span>
      <span className={classes.quiet}>
        {apiKey.lastUsedAt === null ? (
          'never used'
        ) : (
          <>
            used <TimeText at={apiKey.lastUsedAt} ago />
          </>
        )}
      </span>
      <Button
        size="compact-sm"
        variant="subtle"
        color="red"
        loading={revoke.isPending}
        onClick={() => (sure ? revoke.mutate() : setSure(true))}
        onBlur={() => setSure(false)}
      >
        {sure ? 'Really revoke' : 'Revoke'}
      </Button>
    </li>
  )
}
