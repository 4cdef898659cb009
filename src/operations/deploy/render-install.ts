import { ACCOUNTS, PACKAGES, type Part } from './part-kinds.ts'

/** The script that installs one machine's part: run as root on Debian 12, in the folder it stands in, as often as one likes. */
export function renderInstall(parts: readonly Part[], program: string, version: string): string {
  const packages = Object.entries(PACKAGES).map(([name, pin]) => `  '${name}=${pin}' \\`)
  const folders = parts.map(({ kind, name }) => `configure ${name} ${ACCOUNTS[kind]}`)
  return `#!/bin/sh
# Installs this machine's part of Nomaly: packages of Debian 12, configuration in /etc/nomaly, units of systemd. Safe to run again.
set -eu
cd "$(dirname "$0")"
fail() { echo "$1" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail 'Run this as root.'
. /etc/os-release
[ "$ID $VERSION_ID" = 'debian 12' ] || fail "This is for Debian 12, and here is $PRETTY_NAME."
[ -x ${program} ] || fail 'Install Nomaly first: npm install --global --omit=optional nomaly@${version}, with Node 22.13 or newer. ${program} must be there.'

# The packages make no cluster and start no service of their own.
mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
if [ ! -e /usr/sbin/policy-rc.d ]; then
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \\
${packages.join('\n')}
  ca-certificates
for service in etcd haproxy pgbouncer redis-server redis-sentinel patroni postgresql; do
  systemctl disable --now "$service.service" >/dev/null 2>&1 || true
done

id nomaly >/dev/null 2>&1 || useradd --system --home-dir /var/lib/nomaly --no-create-home --shell /usr/sbin/nologin nomaly
install -d -m 0755 /etc/nomaly /var/lib/nomaly
# Each part's files can be read by its account alone.
configure() {
  install -d -m 0700 -o "$2" -g "$2" "/etc/nomaly/$1"
  install -m 0600 -o "$2" -g "$2" "members/$1"/* "/etc/nomaly/$1/"
}
${folders.join('\n')}

install -m 0644 units/* /etc/systemd/system/
systemctl daemon-reload
systemctl enable --quiet nomaly.target
systemctl start nomaly.target
echo 'Started. "systemctl list-dependencies nomaly.target" shows the parts; the database is there once two of the three machines are.'
`
}
