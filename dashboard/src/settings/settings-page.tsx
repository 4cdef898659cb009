import { Button } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { answer, api } from '../api/client.ts'
import { meQuery } from '../api/queries.ts'
import { PageHead } from '../layout/page-head.tsx'
import { usePageTitle } from '../layout/page-title.ts'
import { Panel } from '../layout/panel.tsx'
import { KeysPanel } from './keys-panel.tsx'
import classes from './settings-page.module.css'
import { WebhookPanel } from './webhook-panel.tsx'

/** Where findings are sent, who may use the API, and signing out. */
export function SettingsPage() {
  usePageTitle('Settings')
  const me = useQuery(meQuery)
  return (
    <>
      <PageHead
        title="Settings"
        about={
          me.data && `Tenant ${me.data.tenant.name}, signed in as ${me.data.role}. Nomaly ${me.data.version}.`
        }
      />
      <div className={classes.page}>
        {me.data?.role === 'admin' && (
          <>
            <WebhookPanel />
            <KeysPanel />
          </>
        )}
        <Panel title="This browser">
          <div className={classes.row}>
            <a href="/docs">Reference of the API</a>
            <SignOutButton />
          </div>
        </Panel>
      </div>
    </>
  )
}

function SignOutButton() {
  const client = useQueryClient()
  const signOut = useMutation({
    mutationFn: () => answer(api.POST('/v1/sign-out')),
    onSuccess: () => {
      client.clear()
      location.assign('/')
    },
  })
  return (
    <Button variant="default" size="xs" loading={signOut.isPending} onClick={() => signOut.mutate()}>
      Sign out
    </Button>
  )
}
