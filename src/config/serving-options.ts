import { integer, type Option } from './option.ts'

/** How the API is served behind a balancer. */
export const SERVING_OPTIONS = {
  tlsCert: {
    env: 'NOMALY_TLS_CERT',
    kind: { type: 'text' },
    fallback: undefined,
    fallbackText: 'none: plain HTTP',
    secret: true,
    description:
      'Certificate of the API, PEM with its chain: it then serves HTTPS only. For the way from a balancer; NOMALY_TLS_CERT_FILE and NOMALY_TLS_KEY_FILE name files, which are read at the start.',
  } as Option<string | undefined>,
  tlsKey: {
    env: 'NOMALY_TLS_KEY',
    kind: { type: 'text' },
    fallback: undefined,
    fallbackText: 'none',
    secret: true,
    description: 'The private key of NOMALY_TLS_CERT, PEM.',
  } as Option<string | undefined>,
  drainDelayMs: integer(
    'NOMALY_DRAIN_DELAY_MS',
    0,
    [0, 600_000],
    'ms',
    'How long the API goes on serving after SIGTERM while `/readyz` already answers 503, so that balancers take it out before it closes.',
  ),
} as const
