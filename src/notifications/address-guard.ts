import { lookup as lookUp } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'

export type PrivateAddresses = 'allow' | 'refuse'

/** A name led to an address that is not called. */
export class ForbiddenAddress extends Error {}

/** Never called: cloud machines answer with their credentials on link-local addresses, and the rest is no receiver (RFC 6890). */
const NEVER = blockList(
  ['169.254.0.0/16', '192.0.0.0/24', '224.0.0.0/4', '240.0.0.0/4'],
  // The last three hide IPv4 addresses in IPv6 ones: NAT64 (RFC 6052), its local prefix (RFC 8215) and 6to4 (RFC 3056).
  ['fe80::/10', 'fd00:ec2::254/128', 'ff00::/8', '64:ff9b::/96', '64:ff9b:1::/48', '2002::/16'],
)

/** This machine and private networks (RFC 1918, RFC 4193, RFC 6598, RFC 2544). */
const PRIVATE = blockList(
  [
    '0.0.0.0/8',
    '10.0.0.0/8',
    '100.64.0.0/10',
    '127.0.0.0/8',
    '172.16.0.0/12',
    '192.168.0.0/16',
    '198.18.0.0/15',
  ],
  ['::/128', '::1/128', 'fc00::/7'],
)

/** Whether an address must not be called. IPv4 addresses in IPv6 form (`::ffff:a.b.c.d`) count as what they are. */
export function isForbidden(address: string, privateAddresses: PrivateAddresses): boolean {
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
  return NEVER.check(address, family) || (privateAddresses === 'refuse' && PRIVATE.check(address, family))
}

/** A look-up for a connection: the address that is checked is the one that is connected to, so that a name cannot change its mind in between. */
export function guardedLookup(privateAddresses: PrivateAddresses): LookupFunction {
  return (hostname, options, callback) => {
    lookUp(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, '', 0)
      const allowed = addresses.filter(({ address }) => !isForbidden(address, privateAddresses))
      const [first] = allowed
      if (first === undefined)
        return callback(new ForbiddenAddress(`${hostname} has no address that is called`), '', 0)
      if (options.all === true) return callback(null, allowed)
      return callback(null, first.address, first.family)
    })
  }
}

function blockList(ipv4: readonly string[], ipv6: readonly string[]): BlockList {
  const list = new BlockList()
  const add = (subnet: string, family: 'ipv4' | 'ipv6'): void => {
    const [net, prefix] = subnet.split('/')
    list.addSubnet(net!, Number(prefix), family)
  }
  for (const subnet of ipv4) add(subnet, 'ipv4')
  for (const subnet of ipv6) add(subnet, 'ipv6')
  return list
}
