import { MutationCache, QueryCache, QueryClient } from '@tanstack/react-query'
import { showProblem } from '../layout/notices.tsx'
import { ApiProblem } from './problem.ts'

/** Makes the cache of everything read; a 401 anywhere leads to the sign-in page. */
export function createQueryClient(): QueryClient {
  const onError = (error: unknown): boolean => {
    const signedOut = error instanceof ApiProblem && error.status === 401
    if (signedOut) client.setQueryData(['me'], null)
    return signedOut
  }
  const client: QueryClient = new QueryClient({
    queryCache: new QueryCache({ onError }),
    mutationCache: new MutationCache({
      onError: (error, _variables, _context, mutation) => {
        if (onError(error) || mutation.meta?.['quiet'] === true) return
        showProblem(error)
      },
    }),
    defaultOptions: {
      queries: {
        staleTime: 15_000,
        retry: (failures, error) =>
          !(error instanceof ApiProblem && error.status > 0 && error.status < 500) && failures < 3,
        retryDelay: (attempt) => Math.min(500 * 2 ** attempt, 8000),
      },
    },
  })
  return client
}
