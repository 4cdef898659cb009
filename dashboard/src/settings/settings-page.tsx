import { useQuery } from '@tanstack/react-query'
import { meQuery } from '../api/queries.ts'
import { PageHead } from '../layout/page-head.tsx'
import { usePageTitle } from '../layout/page-title.ts'
import { KeysPanel } from './keys-panel.tsx'
import { SessionsPanel } from './sessions-panel.tsx'
import classes from './settings-page.module.css'
import { WebhookPanel } from './webhook-panel.tsx'

/** Where findings are sent, who may use the API, and which browsers are signed in. */
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
        <SessionsPanel />
        <a href="/docs">Reference of the API</a>
      </div>
    </>
  )
}
