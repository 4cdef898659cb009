import { useSyncExternalStore } from 'react'
import type { Dataset } from '../api/entities.ts'
import type { RecognisedColumn } from './column-plan.ts'

/** What became of a file. */
export interface ImportReport {
  readonly fileName: string
  readonly inserted: number
  readonly duplicates: number
  readonly conflicting: number
  readonly rejectedTotal: number
  /** The first hundred. */
  readonly rejected: readonly { line: number; reason: string }[]
  readonly columns: readonly RecognisedColumn[]
}

/** Where an import stands. */
export type ImportState =
  | { readonly step: 'idle' }
  /** The file could go into `existing` or into a new dataset. */
  | { readonly step: 'asking'; readonly file: File; readonly existing: string; readonly suggested: string }
  | {
      readonly step: 'sending'
      readonly fileName: string
      readonly datasetName: string
      /** 0 to 1. */
      readonly share: number
      readonly report: ImportReport
    }
  | {
      readonly step: 'failed'
      readonly file: File
      readonly error: unknown
      readonly report: ImportReport | undefined
    }

let state: ImportState = { step: 'idle' }
let reports: ReadonlyMap<string, ImportReport> = new Map()
let picker: ((datasetName: string | undefined) => void) | undefined
const listeners = new Set<() => void>()

/** Where the current import stands; re-renders as it moves on. */
export function useImportState(): ImportState {
  return useSyncExternalStore(subscribe, () => state)
}

/** What the last import into a dataset brought, until it is put away. */
export function useImportReport(datasetId: string): ImportReport | undefined {
  return useSyncExternalStore(subscribe, () => reports.get(datasetId))
}

/** Moves the import on. */
export function setImportState(next: ImportState): void {
  state = next
  notify()
}

/** Whether a file is on its way just now. */
export const isImporting = (): boolean => state.step === 'sending'

/** Keeps the report of a finished import for the dataset's page; `undefined` puts it away. */
export function setImportReport(dataset: Pick<Dataset, 'id'>, report: ImportReport | undefined): void {
  const next = new Map(reports)
  if (report === undefined) next.delete(dataset.id)
  else next.set(dataset.id, report)
  reports = next
  notify()
}

/** Opens the file picker; the file goes into the named dataset, or into a new one. */
export function chooseFile(datasetName?: string): void {
  picker?.(datasetName)
}

/** Tells {@link chooseFile} how to open the picker. */
export function setFilePicker(open: ((datasetName: string | undefined) => void) | undefined): void {
  picker = open
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

function notify(): void {
  for (const listener of listeners) listener()
}
