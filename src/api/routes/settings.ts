import { Type } from 'typebox'
import type { SettingState } from '../../flags/live-settings.ts'
import { findSetting } from '../../flags/setting-catalogue.ts'
import type { Store } from '../../store/store.ts'
import type { Api } from '../api.ts'
import { pageOf, problems } from '../schemas/shared.ts'

const Value = Type.Union([Type.String(), Type.Number()])
const SettingBody = Type.Object({
  name: Type.String(),
  value: Value,
  default: Value,
  isChanged: Type.Boolean({ description: 'Whether an operator has set it; else the default holds' }),
  version: Type.Integer({ description: '0 where it never was changed' }),
  variable: Type.String({ description: 'The environment variable that gives the default' }),
  description: Type.String(),
  unit: Type.Optional(Type.String()),
  minimum: Type.Optional(Type.Number()),
  maximum: Type.Optional(Type.Number()),
  choices: Type.Optional(Type.Array(Type.String())),
})
const tags = ['settings']

/** The live settings as they hold in this process. They are the installation's, so only operators change them, with `nomaly settings`. */
export function registerSettingRoutes(app: Api, store: Store): void {
  app.get(
    '/v1/settings',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'List what operators can change while the product runs, and what holds now',
        response: { 200: pageOf(SettingBody), ...problems },
      },
    },
    async () => ({ items: store.liveSettings.list().map(presentSetting), nextCursor: null }),
  )

  app.get(
    '/v1/settings/:name',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'Show a live setting',
        params: Type.Object({ name: Type.String({ minLength: 1, maxLength: 100 }) }),
        response: { 200: SettingBody, ...problems },
      },
    },
    async (request) => presentSetting(store.liveSettings.state(findSetting(request.params.name))),
  )
}

function presentSetting(state: SettingState): Type.Static<typeof SettingBody> {
  const { name, value, fallback, isChanged, version, variable, description, kind } = state
  return {
    name,
    value,
    default: fallback,
    isChanged,
    version,
    variable,
    description,
    ...(kind.type === 'integer' ? { unit: kind.unit ?? '', minimum: kind.min, maximum: kind.max } : {}),
    ...(kind.type === 'choice' ? { choices: [...kind.choices] } : {}),
  }
}
