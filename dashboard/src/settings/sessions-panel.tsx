import { Button, Skeleton } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { answer, api } from '../api/client.ts'
import type { BrowserSession } from '../api/entities.ts'
import { sessionsQuery } from '../api/queries.ts'
import { Panel } from '../layout/panel.tsx'
import { ProblemAlert } from '../layout/problem-alert.tsx'
import { TimeText } from '../layout/time-text.tsx'
import classes from './settings-page.module.css'

/** The browsers that were signed in by links of the same key, and signing them out. */
export function SessionsPanel() {
  const sessions = useQuery(sessionsQuery)
  const signOut = useSigningOut(() => answer(api.POST('/v1/sign-out')))
  const everywhere = useSigningOut(() => answer(api.POST('/v1/sign-out-everywhere')))
  return (
    <Panel title="Signed-in browsers">
      {sessions.isPending && <Skeleton height={60} mb="md" />}
      {sessions.isLoadingError && (
        <ProblemAlert error={sessions.error} onRetry={() => void sessions.refetch()} />
      )}
      <ul className={classes.keys}>
        {sessions.data?.map((session) => (
          <SessionRow key={session.id} session={session} />
        ))}
      </ul>
      <div className={classes.row}>
        <Button variant="default" size="xs" loading={signOut.isPending} onClick={() => signOut.mutate()}>
          Sign out
        </Button>
        <Button
          variant="default"
          size="xs"
          loading={everywhere.isPending}
          onClick={() => everywhere.mutate()}
        >
          Sign out everywhere
        </Button>
      </div>
    </Panel>
  )
}

function SessionRow({ session }: { session: BrowserSession }) {
  const client = useQueryClient()
  const end = useMutation({
    mutationFn: () => answer(api.DELETE('/v1/sessions/{id}', { params: { path: { id: session.id } } })),
    onSettled: () => client.invalidateQueries({ queryKey: ['sessions'] }),
  })
  return (
    <li>
      <span>{session.device}</span>
      <span className={classes.quiet}>
        signed in <TimeText at={session.createdAt} ago />
      </span>
      <span className={classes.quiet}>
        {session.current ? (
          'this browser'
        ) : (
          <>
            seen <TimeText at={session.lastSeenAt} ago />
          </>
        )}
      </span>
      {!session.current && (
        <Button
          size="compact-sm"
          variant="subtle"
          color="red"
          loading={end.isPending}
          onClick={() => end.mutate()}
        >
          Sign it out
        </Button>
      )}
    </li>
  )
}

/** What leaves nobody signed in here. */
function useSigningOut(act: () => Promise<unknown>) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: act,
    onSuccess: () => {
      client.clear()
      location.assign('/')
    },
  })
}
