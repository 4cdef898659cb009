import { NomalyError } from '../../errors.ts'
import type { ClusterSettings, ClusterView, Member } from './cluster-view.ts'

/** Who hands over, and who may take over. */
export interface SwitchoverPlan {
  readonly leader: Member
  readonly candidate: Member
}

/**
 * Chooses who takes over: whoever was named, or the standby that is least behind, where there have to be any a synchronous one.
 * @throws NomalyError `conflict` where nobody can take over now, `invalid_input` for a name that is not that of a standby.
 */
export function planSwitchover(
  { leader, members, isPaused }: ClusterView,
  { isSynchronous, maximumLagBytes }: ClusterSettings,
  to: string | undefined,
): SwitchoverPlan {
  if (leader === undefined)
    throw new NomalyError('conflict', 'The cluster has no leader who could hand over.', {
      hint: 'Bring it up first; `nomaly drill status` shows the members.',
    })
  if (isPaused)
    throw new NomalyError('conflict', 'Patroni is paused.', { hint: 'Resume it with `patronictl resume`.' })
  const standbys = members.filter((member) => member !== leader && member.role !== 'other')
  if (to !== undefined && standbys.every(({ name }) => name !== to))
    throw new NomalyError('invalid_input', `"${to}" is not a standby of this cluster.`, {
      hint: `Standbys are: ${standbys.map(({ name }) => name).join(', ') || 'none'}.`,
      problems: [{ field: 'to', reason: 'must be the name of a standby' }],
    })
  const able = standbys
    .filter(({ isUp, timeline }) => isUp && timeline === leader.timeline)
    .filter(({ role }) => !isSynchronous || role === 'sync_standby')
    .filter(({ lagBytes = 0 }) => lagBytes <= maximumLagBytes)
    .filter(({ name }) => to === undefined || name === to)
    .toSorted((a, b) => (a.lagBytes ?? 0) - (b.lagBytes ?? 0))
  const candidate = able[0]
  if (candidate !== undefined) return { leader, candidate }
  throw new NomalyError(
    'conflict',
    to === undefined ? 'No standby can take over now.' : `${to} cannot take over now.`,
    {
      hint: `It must run, follow the leader${isSynchronous ? ', be the synchronous one' : ''} and be less than ${maximumLagBytes} bytes behind; \`nomaly drill status\` shows how they are.`,
    },
  )
}
