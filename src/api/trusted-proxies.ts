import { isIP } from 'node:net'
import { invalidField } from '../errors.ts'

const MOST_BITS: Readonly<Record<number, number>> = { 4: 32, 6: 128 }

/**
 * The addresses and networks whose `X-Forwarded-*` headers are believed, of a list with commas; `false` where it is empty.
 * @throws NomalyError `invalid_input` naming the part that is neither.
 */
export function trustedProxies(list: string): string[] | false {
  const parts = list.split(',').map((part) => part.trim())
  const wanted = parts.filter((part) => part !== '')
  for (const part of wanted) {
    const [, address = '', bits] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(part) ?? []
    const mostBits = MOST_BITS[isIP(address)]
    if (mostBits === undefined || Number(bits ?? 0) > mostBits)
      throw invalidField(
        'NOMALY_TRUSTED_PROXIES',
        `has "${part}", which is neither an address nor a network`,
        'Name addresses and networks with commas between them: 10.0.0.7, 192.168.4.0/24, fd00::/8.',
      )
  }
  return wanted.length > 0 && wanted
}
