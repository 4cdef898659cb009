import type { paths } from './schema.d.ts'

type Answer<
  Route extends keyof paths,
  Method extends keyof paths[Route],
  Status extends number,
> = paths[Route][Method] extends {
  responses: { [S in Status]: { content: { 'application/json': infer Body } } }
}
  ? Body
  : never

type Item<List> = List extends { items: (infer One)[] } ? One : never

/** Who is signed in, and to which tenant. */
export type Me = Answer<'/v1/me', 'get', 200>
/** A named source of series. */
export type Dataset = Item<Answer<'/v1/datasets', 'get', 200>>
/** One metric with its tags. */
export type Series = Item<Answer<'/v1/datasets/{dataset}/series', 'get', 200>>
/** A detection job with its last run. */
export type Job = Item<Answer<'/v1/jobs', 'get', 200>>
/** One run of a job. */
export type Run = NonNullable<Job['lastRun']>
/** What a job is made from. */
export type NewJob = paths['/v1/jobs']['post']['requestBody']['content']['application/json']
/** How a job tells what is unusual. */
export type Algorithm = NonNullable<NonNullable<NewJob['detector']>['algorithm']>
/** A finding of a job, with what people decided about it. */
export type Anomaly = Item<Answer<'/v1/anomalies', 'get', 200>>
/** What people decided about a finding. */
export type AnomalyState = Anomaly['state']
/** How rare a finding is, in four steps. */
export type Severity = Anomaly['severity']
/** What the demo planted, to compare with what was found. */
export type Incident = Answer<'/v1/demo', 'post', 201>['incidents'][number]
/** An API key without its secret. */
export type ApiKey = Item<Answer<'/v1/keys', 'get', 200>>
/** A browser that is signed in. */
export type BrowserSession = Item<Answer<'/v1/sessions', 'get', 200>>
/** What a key may do. */
export type Role = Me['role']
