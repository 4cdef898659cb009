import type { Option } from './option.ts'

/** How the cluster is reached that the database is one of. */
export const FAILOVER_OPTIONS = {
  patroniUrls: {
    env: 'NOMALY_PATRONI_URLS',
    kind: { type: 'text' },
    fallback: undefined,
    fallbackText: 'none: the database is no cluster of Patroni',
    secret: true,
    description:
      'The REST APIs of Patroni, for `nomaly drill` and `nomaly switchover`: `https://user:password@h1:8008,h2:8008?ca=FILE`, with `&cert=FILE&key=FILE` for a client’s certificate and `&servername=NAME` where theirs carry another name.',
  } as Option<string | undefined>,
} as const
