import {
  ClientClosedError,
  ClientOfflineError,
  ConnectionTimeoutError,
  DisconnectsClientError,
  ErrorReply,
  MaxCommandRedirectionsError,
  ReconnectStrategyError,
  RootNodesUnavailableError,
  SocketClosedUnexpectedlyError,
  SocketTimeoutError,
} from 'redis'

/** Replies by which a server says that it does not serve now, whoever asks. */
const NOT_SERVING = /^(?:LOADING|MASTERDOWN|CLUSTERDOWN|BUSY|NOAUTH)\b/
/** Replies by which it refuses writes, and still serves reads. */
const NOT_WRITING = /^(?:OOM|MISCONF|NOREPLICAS|READONLY)\b/
/** Replies by which a Cluster says that keys are on their way from one master to another. */
const MOVING = /^(?:TRYAGAIN)\b/

const OF_CONNECTION = [
  ClientClosedError,
  ClientOfflineError,
  ConnectionTimeoutError,
  DisconnectsClientError,
  MaxCommandRedirectionsError,
  ReconnectStrategyError,
  RootNodesUnavailableError,
  SocketClosedUnexpectedlyError,
  SocketTimeoutError,
]

/** What an error of a command says: something about the command, that the server takes no writes, that keys move, or that it is not there. */
export function judgeError(error: unknown): 'command' | 'full' | 'changed' | 'down' {
  if (!(error instanceof Error)) return 'command'
  if (error instanceof ErrorReply) {
    if (NOT_WRITING.test(error.message)) return 'full'
    if (MOVING.test(error.message)) return 'changed'
    return NOT_SERVING.test(error.message) ? 'down' : 'command'
  }
  const isSystem = typeof (error as NodeJS.ErrnoException).syscall === 'string'
  return isSystem ||
    error.message === 'The queue is full' ||
    OF_CONNECTION.some((type) => error instanceof type)
    ? 'down'
    : 'command'
}
