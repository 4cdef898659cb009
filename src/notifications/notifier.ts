/** The one LISTEN channel of an installation, also for notices sent from inside a transaction. */
export const NOTIFICATION_CHANNEL = 'nomaly'

/** What processes tell each other: ids only, everything is read again. */
export interface Notification {
  /** `points`: a dataset has new ones. `outbox`: there is work for the relay. `events`: the relay has published. `keys`: one was revoked. `flags`: flags or live settings were changed. `cache`: what was read before of the points of a dataset, or of the tenant, was replaced. `hold`: the database is about to change its leader; `resume`: it has, or will not. */
  readonly channel: 'points' | 'outbox' | 'events' | 'keys' | 'flags' | 'cache' | 'hold' | 'resume'
  /** Empty for what belongs to the installation. */
  readonly tenantId: string
  /** Of a dataset on `points`, of what owns points on `cache`; empty otherwise. */
  readonly id: string
}

export type NotificationListener = (notification: Notification) => void

const TEXT = /^(points|outbox|events|keys|flags|cache|hold|resume) ([0-9a-f-]{0,36}) ([0-9a-f-]{0,36})$/

/** A notice as it travels, and as SQL sends it with `pg_notify`. */
export function formatNotification({ channel, tenantId, id }: Notification): string {
  return `${channel} ${tenantId} ${id}`
}

/** Reads a notice; `undefined` for whatever else was sent on the channel. */
export function parseNotification(text: string): Notification | undefined {
  const match = TEXT.exec(text)
  if (match === null) return undefined
  return { channel: match[1] as Notification['channel'], tenantId: match[2]!, id: match[3]! }
}

/** Tells every process of an installation at once that something changed. Late or lost messages do no harm: receivers look for themselves from time to time. */
export interface Notifier extends AsyncDisposable {
  /** Sends without being waited for: what it tells is committed already, and receivers look for themselves in any case. */
  publish(notification: Notification): void
  /** Hears of what any process publishes, this one included. Answers how to stop. */
  subscribe(listener: NotificationListener): () => void
  /** Is called after every gap, and while there is one now and then: whatever was said meanwhile was not heard. */
  onReconnect(listener: () => void): () => void
}
