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
const NOT_SERVING = /^(?:LOADING|MASTERDOWN|CLUSTERDOWN|READONLY|TRYAGAIN|BUSY|NOAUTH)\b/
/** Replies by which it refuses writes, and still serves reads. */
const NOT_WRITING = /^(?:OOM|MISCONF|NOREPLICAS)\b/

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

/** What an error of a command says: something about the command, that the server takes no writes, or that it is not there. */
export function judgeError(error: unknown): 'command' | 'full' | 'down' {
  if (!(error instanceof Error)) return 'command'
  if (error instanceof ErrorReply) {
    if (NOT_WRITING.test(error.message)) return 'full'
    return NOT_SERVING.test(error.message) ? 'down' : 'command'
  }
  const isSystem = typeof (error as NodeJS.ErrnoException).syscall === 'string'
  return isSystem ||
    error.message === 'The queue is full' ||
    OF_CONNECTION.some((type) => error instanceof type)
    ? 'down'
    : 'command'
}
