import type pg from 'pg'

/** The commit stands on the primary alone: somebody has cancelled the wait for its standbys. */
export class UnreplicatedCommit extends Error {
  constructor() {
    super('the wait for a synchronous standby was cancelled')
  }
}

/** The function of the server that says so, in whatever language (src/backend/replication/syncrep.c). */
const WAITING_ROUTINE = 'SyncRepWaitForLSN'

/**
 * Sends statements that end with, or contain, a COMMIT, and waits for their results no longer than a deadline.
 * @throws UnreplicatedCommit where the server answers success with a warning that the standbys may not have it.
 */
export async function sendCommit(
  client: pg.ClientBase,
  statements: string,
  timeoutMs: number,
): Promise<pg.QueryResult[]> {
  let isUnreplicated = false
  const onNotice = (notice: { readonly routine?: string | undefined }): void => {
    if (notice.routine === WAITING_ROUTINE) isUnreplicated = true
  }
  client.on('notice', onNotice)
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('the commit took longer than its limit')), timeoutMs)
  })
  try {
    const answered: unknown = await Promise.race([client.query(statements), deadline])
    if (isUnreplicated) throw new UnreplicatedCommit()
    return [answered].flat() as pg.QueryResult[]
  } finally {
    clearTimeout(timer)
    client.off('notice', onNotice)
  }
}
