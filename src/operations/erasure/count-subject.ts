import { countFindings } from './erase-findings.ts'
import { countPerson } from './erase-person.ts'
import { countPoints, findSources, findEngine } from './erase-points.ts'
import { countTenant } from './erase-tenant.ts'
import { addCounts, type ErasedCounts, type ErasureSubject } from './erasure.ts'
import type { ErasureSite } from './erasure-site.ts'

/** What an erasure would remove or change; nothing is. What there is none of is left out. */
export async function countSubject(
  site: ErasureSite,
  subject: ErasureSubject,
  signal: AbortSignal,
): Promise<ErasedCounts> {
  const counts =
    subject.kind === 'user'
      ? await countPerson(site.core, subject, signal)
      : addCounts(
          await countPoints(
            site.metrics,
            await findEngine(site.metrics),
            await findSources(site.metrics, subject),
          ),
          subject.kind === 'tenant'
            ? await countTenant(site.core, subject)
            : await countFindings(site.core, subject),
        )
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0))
}
