import type { TailEvent } from '../../store/event-tail.ts'

/** Why the server ends a connection, as it says itself. */
export type DropReason = 'slow' | 'revoked' | 'stopping' | 'silent'

/** Texts that several connections send alike, made once; dropped after each round. */
export type SharedTexts = Map<string, Buffer>

/** One connection that events are written to, in whatever way it carries them. */
export interface EventSink {
  readonly transport: 'sse' | 'websocket'
  /** Bytes that wait for the reader. */
  readonly backlogBytes: number
  /** Begins, and says where. */
  greet(lastId: number): void
  send(events: readonly TailEvent[], shared: SharedTexts): void
  /** Sends something that has no number. */
  tell(name: string, data: object, shared: SharedTexts): void
  /** Shows that the connection stands. @returns whether the reader has given a sign since the last time, where it can. */
  beat(): boolean
  /** Waits until everything was taken. @returns whether it was in time. */
  drained(timeoutMs: number): Promise<boolean>
  /** Says why, as far as the reader takes it within a second, and ends. */
  drop(reason: DropReason): void
}

/** What the reasons mean, for readers. */
export const DROP_REASONS: Readonly<Record<DropReason, string>> = {
  slow: 'The reader did not take what was waiting for it.',
  revoked: 'The key was revoked, or the browser signed out.',
  stopping: 'The server stops; another one goes on.',
  silent: 'The other end gave no sign any more.',
}

/** How long a reader may take for the last words. */
export const LAST_WORDS_MS = 1_000
