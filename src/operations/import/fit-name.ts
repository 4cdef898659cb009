import { SELF_DATASET_NAME } from '../../datasets/dataset.ts'

/** A name made of what a pattern allows: marks are dropped, whatever else does not fit becomes a dash. */
function fit(name: string, disallowed: RegExp, maxLength: number): string {
  return name
    .normalize('NFKD')
    .replaceAll(/\p{M}/gu, '')
    .replaceAll(disallowed, '-')
    .replaceAll(/-{2,}/g, '-')
    .replaceAll(/^[-._]+/g, '')
    .slice(0, maxLength)
    .replaceAll(/[-._]+$/g, '')
}

/** Room for a dash and eight characters of an id. */
const SUFFIX = 9

/** The name of a dataset that is as near to the original as its pattern allows, and another one for where that is taken. */
export function datasetName(name: string, id: string): { readonly name: string; readonly fallback: string } {
  const isUuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(name)
  const fitting = isUuid ? '' : fit(name, /[^A-Za-z0-9._-]+/g, 100 - SUFFIX)
  const suffix = id.slice(0, 8)
  // The product records itself under that name.
  if (fitting === SELF_DATASET_NAME)
    return { name: `${fitting}-${suffix}`, fallback: `${fitting}-${id.replaceAll('-', '')}` }
  if (fitting === '') return { name: `dataset-${suffix}`, fallback: `dataset-${id.replaceAll('-', '')}` }
  return { name: fitting, fallback: `${fitting}-${suffix}` }
}

/** The same for a tenant. */
export function tenantName(name: string, id: string): { readonly name: string; readonly fallback: string } {
  const fitting = fit(name.toLowerCase(), /[^a-z0-9-]+/g, 63 - SUFFIX)
  const suffix = id.slice(0, 8)
  if (fitting === '') return { name: `tenant-${suffix}`, fallback: `tenant-${id.replaceAll('-', '')}` }
  return { name: fitting, fallback: `${fitting}-${suffix}` }
}
