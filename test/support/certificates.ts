import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Paths of PEM files: an authority of the test's own, and a certificate for `localhost` and 127.0.0.1 that it signed. */
export interface Certificates {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

/** Makes an authority and a certificate in a folder, with openssl. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  const at = (name: string): string => join(folder, name)
  const openssl = (...args: string[]): Promise<unknown> => run('openssl', args, { cwd: folder })
  const ellipticKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  await writeFile(at('names.ext'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n')
  await openssl(
    'req',
    '-x509',
    ...ellipticKey,
    '-subj',
    '/CN=test authority',
    '-days',
    '2',
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
  )
  await openssl('req', ...ellipticKey, '-subj', '/CN=localhost', '-keyout', 'redis.key', '-out', 'redis.csr')
  await openssl(
    ...'x509 -req -in redis.csr -CA ca.pem -CAkey ca.key -CAcreateserial'.split(' '),
    ...'-days 2 -extfile names.ext -out redis.pem'.split(' '),
  )
  return { ca: at('ca.pem'), cert: at('redis.pem'), key: at('redis.key') }
}
