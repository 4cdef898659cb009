import type { TenantThings } from './tenant-things.ts'

export interface RouteCall {
  readonly path: string
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export interface RouteCoverage {
  /** What the caller must be allowed. */
  readonly needs: 'public' | 'read' | 'write' | 'administer'
  /** How it is called with somebody's things. */
  readonly calls: (things: TenantThings) => readonly RouteCall[]
  /**
   * What another tenant gets: `hidden` is the answer for things that do not exist, with this status; `own` is a success that is
   * about the caller's own things; `anyone` is what everybody gets.
   */
  readonly foreign: { readonly hidden: number } | 'own' | 'anyone'
}

const points = '{"time":1767225600000,"metric":"stolen","value":1}'
const ndjson = { 'content-type': 'application/x-ndjson' }
const gone = { hidden: 404 } as const
const empty = { hidden: 200 } as const

const plain = (path: string) => (): RouteCall[] => [{ path }]
const dataset =
  (rest = '', more: Omit<RouteCall, 'path'> = {}) =>
  ({ datasetId, datasetName }: TenantThings): RouteCall[] =>
    [datasetId, datasetName].map((name) => ({ path: `/v1/datasets/${name}${rest}`, ...more }))
/** Under the dataset of somebody else, and under one of the caller's own. */
const backfill =
  (rest = '', more: Omit<RouteCall, 'path'> = {}) =>
  ({ datasetId, backfillId }: TenantThings): RouteCall[] => [
    { path: `/v1/datasets/${datasetId}/backfills/${backfillId}${rest}`, ...more },
    { path: `/v1/datasets/beta-data/backfills/${backfillId}${rest}`, ...more },
  ]
const one =
  (noun: string, key: keyof TenantThings, rest = '', more: Omit<RouteCall, 'path'> = {}) =>
  (things: TenantThings): RouteCall[] => [{ path: `/v1/${noun}/${String(things[key])}${rest}`, ...more }]
const list =
  (path: string) =>
  ({ cursor }: TenantThings): RouteCall[] => [{ path }, { path: `${path}?cursor=${cursor(path)}` }]

/** Every route of the application, and what somebody else may get out of it. */
export const ROUTE_COVERAGE: Readonly<Record<string, RouteCoverage>> = {
  'GET /v1/me': { needs: 'read', calls: plain('/v1/me'), foreign: 'own' },
  'GET /v1/audit': { needs: 'administer', calls: list('/v1/audit'), foreign: 'own' },
  'POST /v1/sign-out': { needs: 'read', calls: plain('/v1/sign-out'), foreign: 'own' },
  'POST /v1/sign-out-everywhere': {
    needs: 'read',
    calls: plain('/v1/sign-out-everywhere'),
    foreign: 'own',
  },
  'GET /v1/sessions': {
    needs: 'read',
    calls: (things) => [...list('/v1/sessions')(things), { path: '/v1/sessions?all=true' }],
    foreign: 'own',
  },
  'DELETE /v1/sessions/:id': { needs: 'read', calls: one('sessions', 'sessionId'), foreign: gone },
  'POST /v1/sign-in-links': { needs: 'administer', calls: plain('/v1/sign-in-links'), foreign: 'own' },
  'GET /v1/algorithms': { needs: 'read', calls: plain('/v1/algorithms'), foreign: 'own' },
  'GET /v1/events': {
    needs: 'read',
    calls: () => [
      { path: '/v1/events' },
      { path: '/v1/events', headers: { 'last-event-id': '0' } },
      { path: '/v1/events?lastEventId=0' },
    ],
    foreign: 'own',
  },

  'GET /v1/datasets': { needs: 'read', calls: list('/v1/datasets'), foreign: 'own' },
  'POST /v1/datasets': {
    needs: 'write',
    calls: () => [{ path: '/v1/datasets', body: { name: 'made-here' } }],
    foreign: 'own',
  },
  'GET /v1/datasets/:dataset': { needs: 'read', calls: dataset(), foreign: gone },
  'PATCH /v1/datasets/:dataset': {
    needs: 'write',
    calls: dataset('', { body: { description: 'x' } }),
    foreign: gone,
  },
  'DELETE /v1/datasets/:dataset': { needs: 'write', calls: dataset(), foreign: gone },
  'POST /v1/datasets/:dataset/points': {
    needs: 'write',
    calls: dataset('/points', { body: points, headers: ndjson }),
    foreign: gone,
  },
  'POST /v1/datasets/:dataset/corrections': {
    needs: 'write',
    calls: dataset('/corrections', { body: points, headers: ndjson }),
    foreign: gone,
  },
  'GET /v1/datasets/:dataset/export': {
    needs: 'read',
    calls: dataset('/export?format=ndjson'),
    foreign: gone,
  },
  'GET /v1/datasets/:dataset/backfills': { needs: 'read', calls: dataset('/backfills'), foreign: gone },
  'POST /v1/datasets/:dataset/backfills': { needs: 'write', calls: dataset('/backfills'), foreign: gone },
  'GET /v1/datasets/:dataset/backfills/:backfill': { needs: 'read', calls: backfill(), foreign: gone },
  'GET /v1/datasets/:dataset/backfills/:backfill/parts': {
    needs: 'read',
    calls: backfill('/parts'),
    foreign: gone,
  },
  'PUT /v1/datasets/:dataset/backfills/:backfill/parts/:part': {
    needs: 'write',
    calls: backfill('/parts/2', { body: points, headers: ndjson }),
    foreign: gone,
  },
  'POST /v1/datasets/:dataset/backfills/:backfill/finish': {
    needs: 'write',
    calls: backfill('/finish', { body: { parts: 1 } }),
    foreign: gone,
  },
  'DELETE /v1/datasets/:dataset/backfills/:backfill': { needs: 'write', calls: backfill(), foreign: gone },
  'GET /v1/datasets/:dataset/series': { needs: 'read', calls: dataset('/series'), foreign: gone },
  'POST /v1/detect': {
    needs: 'read',
    calls: () => [{ path: '/v1/detect', body: points, headers: ndjson }],
    foreign: 'own',
  },

  'POST /v1/estimate': {
    needs: 'read',
    calls: () => [
      { path: '/v1/estimate?series=10&everySeconds=60' },
      { path: '/v1/estimate?everySeconds=60', body: points, headers: ndjson },
    ],
    foreign: 'own',
  },

  'GET /v1/series/:id': { needs: 'read', calls: one('series', 'seriesId'), foreign: gone },
  'GET /v1/series/:id/points': { needs: 'read', calls: one('series', 'seriesId', '/points'), foreign: gone },
  'GET /v1/series/:id/buckets': {
    needs: 'read',
    calls: one('series', 'seriesId', '/buckets?bucketSeconds=3600'),
    foreign: gone,
  },
  'GET /v1/series/:id/band': {
    needs: 'read',
    calls: ({ seriesId, jobId }) => [{ path: `/v1/series/${seriesId}/band?jobId=${jobId}` }],
    foreign: gone,
  },
  'POST /v1/query': {
    needs: 'read',
    calls: ({ seriesId }) => [{ path: '/v1/query', body: { seriesIds: [seriesId], bucketSeconds: 3600 } }],
    foreign: empty,
  },

  'GET /v1/detectors': { needs: 'read', calls: list('/v1/detectors'), foreign: 'own' },
  'POST /v1/detectors': {
    needs: 'write',
    calls: () => [{ path: '/v1/detectors', body: { name: 'made here' } }],
    foreign: 'own',
  },
  'GET /v1/detectors/:id': { needs: 'read', calls: one('detectors', 'detectorId'), foreign: gone },
  'PATCH /v1/detectors/:id': {
    needs: 'write',
    calls: one('detectors', 'detectorId', '', { body: { name: 'taken over' } }),
    foreign: gone,
  },
  'DELETE /v1/detectors/:id': { needs: 'write', calls: one('detectors', 'detectorId'), foreign: gone },

  'GET /v1/jobs': {
    needs: 'read',
    calls: (things) => [...list('/v1/jobs')(things), { path: `/v1/jobs?datasetId=${things.datasetId}` }],
    foreign: 'own',
  },
  'POST /v1/jobs': {
    needs: 'write',
    calls: ({ datasetId, datasetName }) =>
      [datasetId, datasetName].map((name) => ({
        path: '/v1/jobs',
        body: { dataset: name, schedule: { kind: 'once' } },
      })),
    foreign: gone,
  },
  'GET /v1/jobs/:id': { needs: 'read', calls: one('jobs', 'jobId'), foreign: gone },
  'DELETE /v1/jobs/:id': { needs: 'write', calls: one('jobs', 'jobId'), foreign: gone },
  'POST /v1/jobs/:id/cancel': { needs: 'write', calls: one('jobs', 'jobId', '/cancel'), foreign: gone },
  'POST /v1/jobs/:id/pause': { needs: 'write', calls: one('jobs', 'jobId', '/pause'), foreign: gone },
  'POST /v1/jobs/:id/resume': { needs: 'write', calls: one('jobs', 'jobId', '/resume'), foreign: gone },
  'POST /v1/jobs/:id/runs': { needs: 'write', calls: one('jobs', 'jobId', '/runs'), foreign: gone },
  'GET /v1/jobs/:id/runs': { needs: 'read', calls: one('jobs', 'jobId', '/runs'), foreign: gone },
  'GET /v1/runs/:id': { needs: 'read', calls: one('runs', 'runId'), foreign: gone },

  'GET /v1/anomalies': {
    needs: 'read',
    calls: (things) => [
      ...list('/v1/anomalies')(things),
      { path: `/v1/anomalies?datasetId=${things.datasetId}` },
      { path: `/v1/anomalies?jobId=${things.jobId}` },
      { path: `/v1/anomalies?seriesId=${things.seriesId}` },
    ],
    foreign: empty,
  },
  'GET /v1/anomalies/:id': { needs: 'read', calls: one('anomalies', 'anomalyId'), foreign: gone },
  'POST /v1/anomalies/:id/acknowledge': {
    needs: 'write',
    calls: one('anomalies', 'anomalyId', '/acknowledge'),
    foreign: gone,
  },
  'POST /v1/anomalies/:id/resolve': {
    needs: 'write',
    calls: one('anomalies', 'anomalyId', '/resolve'),
    foreign: gone,
  },
  'POST /v1/anomalies/:id/dismiss': {
    needs: 'write',
    calls: one('anomalies', 'anomalyId', '/dismiss', { body: { note: 'mine' } }),
    foreign: gone,
  },
  'POST /v1/anomalies/:id/reopen': {
    needs: 'write',
    calls: one('anomalies', 'anomalyId', '/reopen'),
    foreign: gone,
  },

  'GET /v1/keys': { needs: 'administer', calls: plain('/v1/keys'), foreign: 'own' },
  'POST /v1/keys': {
    needs: 'administer',
    calls: () => [{ path: '/v1/keys', body: { name: 'made here', role: 'viewer' } }],
    foreign: 'own',
  },
  'DELETE /v1/keys/:id': { needs: 'administer', calls: one('keys', 'keyId'), foreign: gone },
  'GET /v1/webhook': { needs: 'administer', calls: plain('/v1/webhook'), foreign: 'own' },
  // A test of a webhook that one does not have; the next route sets one.
  'POST /v1/webhook/test': {
    needs: 'administer',
    calls: plain('/v1/webhook/test'),
    foreign: { hidden: 409 },
  },
  'PUT /v1/webhook': {
    needs: 'administer',
    calls: () => [{ path: '/v1/webhook', body: { url: 'http://127.0.0.1:1/own-hook' } }],
    foreign: 'own',
  },
  'DELETE /v1/webhook': { needs: 'administer', calls: plain('/v1/webhook'), foreign: 'own' },
  'POST /v1/demo': { needs: 'write', calls: plain('/v1/demo'), foreign: 'own' },

  'GET /v1/flags': { needs: 'read', calls: list('/v1/flags'), foreign: 'own' },
  'POST /v1/flags': {
    needs: 'administer',
    calls: () => [{ path: '/v1/flags', body: { key: 'made-here' } }],
    foreign: 'own',
  },
  'GET /v1/flags/:key': { needs: 'read', calls: one('flags', 'flagKey'), foreign: gone },
  'PATCH /v1/flags/:key': {
    needs: 'administer',
    calls: one('flags', 'flagKey', '', { body: { enabled: false } }),
    foreign: gone,
  },
  'GET /v1/flags/:key/history': { needs: 'read', calls: one('flags', 'flagKey', '/history'), foreign: gone },
  'POST /v1/flags/:key/revert': {
    needs: 'administer',
    calls: one('flags', 'flagKey', '/revert', { body: { version: 1 } }),
    foreign: gone,
  },
  'POST /v1/flags/:key/evaluate': {
    needs: 'read',
    calls: one('flags', 'flagKey', '/evaluate', { body: { targetingKey: 'ann' } }),
    foreign: gone,
  },
  'DELETE /v1/flags/:key': { needs: 'administer', calls: one('flags', 'flagKey'), foreign: gone },
  'GET /v1/flag-ruleset': { needs: 'read', calls: plain('/v1/flag-ruleset'), foreign: 'own' },
  'GET /v1/settings': { needs: 'read', calls: plain('/v1/settings'), foreign: 'own' },
  'GET /v1/settings/:name': { needs: 'read', calls: plain('/v1/settings/log-level'), foreign: 'own' },

  'GET /sign-in': { needs: 'public', calls: plain('/sign-in?token=link_x'), foreign: 'anyone' },
  'GET /healthz': { needs: 'public', calls: plain('/healthz'), foreign: 'anyone' },
  'GET /readyz': { needs: 'public', calls: plain('/readyz'), foreign: 'anyone' },
  'GET /metrics': { needs: 'public', calls: plain('/metrics'), foreign: 'anyone' },
  'GET /openapi.json': { needs: 'public', calls: plain('/openapi.json'), foreign: 'anyone' },
  'GET /docs': { needs: 'public', calls: plain('/docs'), foreign: 'anyone' },
  'GET /docs/': { needs: 'public', calls: plain('/docs/'), foreign: 'anyone' },
  'GET /docs/js/scalar.js': { needs: 'public', calls: plain('/docs/js/scalar.js'), foreign: 'anyone' },
  'GET /*': {
    needs: 'public',
    calls: ({ datasetName }) => [{ path: '/' }, { path: `/datasets/${datasetName}` }],
    foreign: 'anyone',
  },
}
