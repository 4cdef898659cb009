import type { DetectorSettings } from '../../../../detection/detector-settings.ts'
import { isSameSettings, type StoredMonitor } from '../../../../jobs/watch-series.ts'
import { LISTED, type ProofCheck } from '../proof-check.ts'

/** Detectors must have the settings that their states were learnt under, unless they were changed since. */
export const detectors: ProofCheck = {
  name: 'detectors',
  shows: 'detectors have the settings that they had when they last looked',
  async run({ core }) {
    const { rows } = await core.client.query<{
      id: string
      name: string
      settings: DetectorSettings
      learnt: StoredMonitor['settings'] | null
    }>(
      `select distinct on (d.id) d.id, d.name, s.state -> 'settings' as learnt,
         jsonb_build_object('algorithm', d.algorithm, 'parameters', d.parameters,
           'budget', jsonb_build_object('alarms', d.budget_alarms, 'perSeconds', d.budget_per_seconds)) as settings
       from nomaly.detectors d join nomaly.jobs j on j.detector_id = d.id
       join nomaly.detector_states s on s.job_id = j.id and s.updated_at > d.updated_at
       where s.state ? 'settings' order by d.id, s.updated_at desc`,
    )
    const changed = rows.filter(
      ({ settings, learnt }) => learnt !== null && !isSameSettings(settings, learnt),
    )
    if (changed.length === 0)
      return { verdict: 'ok', says: `${rows.length} detectors have the settings that they worked under.` }
    return {
      verdict: 'fail',
      says: `${changed.length} detectors have other settings than those that they worked under, and nobody has changed them.`,
      details: changed.slice(0, LISTED).map(({ id, name }) => `detector ${name} (${id})`),
    }
  },
}
