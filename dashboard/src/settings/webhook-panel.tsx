import { Button, Skeleton, TextInput } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { answer, api } from '../api/client.ts'
import { asProblem } from '../api/problem.ts'
import { webhookQuery } from '../api/queries.ts'
import { showNotice } from '../layout/notices.tsx'
import { Panel } from '../layout/panel.tsx'
import { ProblemAlert } from '../layout/problem-alert.tsx'
import { SecretOnce } from './secret-once.tsx'
import classes from './settings-page.module.css'

/** Where findings are sent to as they are made. */
export function WebhookPanel() {
  const client = useQueryClient()
  const webhook = useQuery(webhookQuery)
  const [typed, setTyped] = useState<string>()
  const [secret, setSecret] = useState<string>()
  const reread = (): Promise<void> => client.invalidateQueries({ queryKey: ['webhook'] })
  const save = useMutation({
    meta: { quiet: true },
    mutationFn: (url: string) => answer(api.PUT('/v1/webhook', { body: { url } })),
    onSuccess: (saved) => {
      setSecret(saved.secret)
      setTyped(undefined)
      return reread()
    },
  })
  const remove = useMutation({
    mutationFn: () => answer(api.DELETE('/v1/webhook')),
    onSuccess: () => {
      setSecret(undefined)
      return reread()
    },
  })
  const test = useMutation({
    mutationFn: () => answer(api.POST('/v1/webhook/test')),
    onSuccess: () => showNotice('A test message is on its way.'),
  })
  const url = typed ?? webhook.data?.url ?? ''
  const known = (webhook.data ?? null) !== null
  return (
    <Panel title="Webhook">
      <p className={classes.about}>
        Every new finding is sent to this address as JSON, signed with a secret, and sent again until it is
        taken.
      </p>
      {webhook.isPending && <Skeleton height={36} />}
      {webhook.isLoadingError && (
        <ProblemAlert error={webhook.error} onRetry={() => void webhook.refetch()} />
      )}
      {webhook.isSuccess && (
        <form
          className={classes.form}
          onSubmit={(event) => {
            event.preventDefault()
            save.mutate(url.trim())
          }}
        >
          <TextInput
            className={classes.grow}
            type="url"
            label="Address"
            placeholder="https://example.org/hooks/nomaly"
            value={url}
            onChange={(event) => setTyped(event.currentTarget.value)}
            error={save.isError && asProblem(save.error).fields[0]?.reason}
          />
          <Button
            type="submit"
            loading={save.isPending}
            disabled={url.trim() === '' || url === webhook.data?.url}
          >
            Save
          </Button>
          {known && (
            <>
              <Button variant="default" loading={test.isPending} onClick={() => test.mutate()}>
                Send a test
              </Button>
              <Button variant="subtle" color="red" loading={remove.isPending} onClick={() => remove.mutate()}>
                Remove
              </Button>
            </>
          )}
        </form>
      )}
      {save.isError && asProblem(save.error).fields.length === 0 && <ProblemAlert error={save.error} />}
      {secret !== undefined && (
        <SecretOnce
          title="The secret that signs the messages"
          secret={secret}
          onClose={() => setSecret(undefined)}
        />
      )}
    </Panel>
  )
}
