import { Button, Skeleton } from '@mantine/core'
import { createRootRoute, createRoute, createRouter, lazyRouteComponent, Link } from '@tanstack/react-router'
import type { AnomalyState, Severity } from './api/entities.ts'
import { EmptyNote } from './layout/empty-note.tsx'
import { ProblemAlert } from './layout/problem-alert.tsx'
import { Shell } from './layout/shell.tsx'

/** What the address of a dataset's page can carry. */
export interface DatasetSearch {
  series?: number
  anomaly?: string
}

/** What the address of the list of anomalies can carry. */
export interface AnomaliesSearch {
  state?: AnomalyState | 'any'
  severity?: Severity
  dataset?: string
  days?: number
}

const states = ['open', 'acknowledged', 'resolved', 'dismissed', 'any'] as const
const severities = ['low', 'medium', 'high', 'critical'] as const

const rootRoute = createRootRoute({
  component: Shell,
  notFoundComponent: () => (
    <EmptyNote title="There is no such page">
      <Button component={Link} to="/" variant="default" mt="sm">
        To the overview
      </Button>
    </EmptyNote>
  ),
})

const overviewRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: '/',
  component: lazyRouteComponent(() => import('./overview/overview-page.tsx'), 'OverviewPage'),
})

const datasetRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: '/datasets/$dataset',
  validateSearch: (search: Record<string, unknown>): DatasetSearch => ({
    ...(Number.isInteger(Number(search['series'] ?? Number.NaN)) ? { series: Number(search['series']) } : {}),
    ...(typeof search['anomaly'] === 'string' ? { anomaly: search['anomaly'] } : {}),
  }),
  component: lazyRouteComponent(() => import('./datasets/dataset-page.tsx'), 'DatasetPage'),
})

const anomaliesRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: '/anomalies',
  validateSearch: (search: Record<string, unknown>): AnomaliesSearch => {
    const state = states.find((each) => each === search['state'])
    const severity = severities.find((each) => each === search['severity'])
    const days = Number(search['days'] ?? Number.NaN)
    return {
      ...(state === undefined ? {} : { state }),
      ...(severity === undefined ? {} : { severity }),
      ...(typeof search['dataset'] === 'string' ? { dataset: search['dataset'] } : {}),
      ...(days > 0 ? { days } : {}),
    }
  },
  component: lazyRouteComponent(() => import('./anomalies/anomalies-page.tsx'), 'AnomaliesPage'),
})

const jobsRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: '/jobs',
  component: lazyRouteComponent(() => import('./jobs/jobs-page.tsx'), 'JobsPage'),
})

const settingsRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: '/settings',
  component: lazyRouteComponent(() => import('./settings/settings-page.tsx'), 'SettingsPage'),
})

/** Every page of the dashboard; each is loaded when it is first opened. */
export const router = createRouter({
  routeTree: rootRoute.addChildren([overviewRoute, datasetRoute, anomaliesRoute, jobsRoute, settingsRoute]),
  defaultPreload: 'intent',
  defaultPendingComponent: () => <Skeleton height={320} radius="lg" />,
  defaultErrorComponent: ({ error, reset }) => <ProblemAlert error={error} onRetry={reset} />,
})

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router
  }
}
