import { ActionIcon, Loader, useComputedColorScheme, useMantineColorScheme } from '@mantine/core'
import {
  IconActivityHeartbeat,
  IconAlertTriangle,
  IconMoon,
  IconPlayerPlay,
  IconSettings,
  IconSun,
} from '@tabler/icons-react'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Link, Outlet, useLocation } from '@tanstack/react-router'
import { useEffect, useSyncExternalStore } from 'react'
import { currentLiveState, followEvents, subscribeLiveState } from '../api/live-events.ts'
import { jobsQuery, meQuery } from '../api/queries.ts'
import { ImportDialog } from '../imports/import-dialog.tsx'
import { Notices } from './notices.tsx'
import { ProblemAlert } from './problem-alert.tsx'
import classes from './shell.module.css'
import { SignInPage } from './sign-in-page.tsx'

/** The frame of every page; shows the sign-in page instead when nobody is signed in. */
export function Shell() {
  const me = useQuery(meQuery)
  if (me.isPending) return <Loader aria-label="Loading" style={{ position: 'fixed', inset: '40vh 48vw' }} />
  if (me.isLoadingError)
    return (
      <main className={classes.main}>
        <ProblemAlert error={me.error} onRetry={() => void me.refetch()} />
      </main>
    )
  return (
    <>
      {me.data === null ? <SignInPage /> : <SignedIn />}
      <Notices />
    </>
  )
}

function SignedIn() {
  const client = useQueryClient()
  useEffect(() => followEvents(client), [client])
  const path = useLocation({ select: (location) => location.pathname })
  useEffect(() => {
    // In newer browsers this answers a promise, which is no clean-up function.
    window.scrollTo(0, 0)
  }, [path])
  const jobs = useQuery(jobsQuery)
  const open = jobs.data?.reduce((sum, job) => sum + job.openAnomalies, 0) ?? 0

  return (
    <>
      <a className={classes.skip} href="#main">
        Skip to content
      </a>
      <header className={classes.bar}>
        <div className={classes.barInner}>
          <Link to="/" className={classes.brand} aria-label="Nomaly, overview">
            <img src="/favicon.svg" width={26} height={26} alt="" />
            Nomaly
          </Link>
          <nav className={classes.nav} aria-label="Pages">
            <Link to="/" className={classes.link} activeOptions={{ exact: true }}>
              <IconActivityHeartbeat size={18} stroke={1.6} />
              Overview
            </Link>
            <Link to="/anomalies" className={classes.link}>
              <IconAlertTriangle size={18} stroke={1.6} />
              Anomalies
              {open > 0 && (
                <span className={classes.count} title={`${open} open`}>
                  {open > 999 ? '999+' : open}
                </span>
              )}
            </Link>
            <Link to="/jobs" className={classes.link}>
              <IconPlayerPlay size={18} stroke={1.6} />
              Jobs
            </Link>
            <Link to="/settings" className={classes.link}>
              <IconSettings size={18} stroke={1.6} />
              Settings
            </Link>
          </nav>
          <div className={classes.side}>
            <LiveMark />
            <SchemeSwitch />
          </div>
        </div>
      </header>
      <main id="main" className={classes.main} tabIndex={-1} style={{ outline: 'none' }}>
        <Outlet />
      </main>
      <ImportDialog />
    </>
  )
}

function LiveMark() {
  const state = useSyncExternalStore(subscribeLiveState, currentLiveState)
  const title =
    state === 'live' ? 'Changes appear as they happen' : 'Changes may be missing until the connection is back'
  return (
    <span className={classes.live} data-state={state} data-testid="live-state" role="status" title={title}>
      <i className={classes.liveDot} aria-hidden />
      {state}
    </span>
  )
}

function SchemeSwitch() {
  const { setColorScheme } = useMantineColorScheme()
  const dark = useComputedColorScheme('light') === 'dark'
  return (
    <ActionIcon
      variant="subtle"
      color="gray"
      aria-label={dark ? 'Use light colours' : 'Use dark colours'}
      onClick={() => setColorScheme(dark ? 'light' : 'dark')}
    >
      {dark ? <IconSun size={18} stroke={1.6} /> : <IconMoon size={18} stroke={1.6} />}
    </ActionIcon>
  )
}
