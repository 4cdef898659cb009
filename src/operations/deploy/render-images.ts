import { PACKAGES } from './part-kinds.ts'
import type { ConfigFile } from './cluster.ts'

const DEBIAN_IMAGE = 'debian:12.12-slim'
const NODE_IMAGE = 'node:24.11.1-bookworm-slim'

/** The two images of a compose file: one with all that the database tier needs, and one with Nomaly. Names are paths below `images/`. */
export function renderImages(version: string): ConfigFile[] {
  const packages = Object.entries(PACKAGES).map(([name, pin]) => `      '${name}=${pin}' \\`)
  const database = `# The whole database tier, from Debian's stable release: the same packages as Nomaly's own failover tests start as processes.
FROM ${DEBIAN_IMAGE}
# No cluster is made and no service started by the packages themselves.
RUN mkdir -p /etc/postgresql-common \\
 && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf \\
 && apt-get update \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates curl \\
${packages.join('\n')}
 && rm -rf /var/lib/apt/lists/*
COPY --chmod=0755 entrypoint.sh /usr/local/bin/entrypoint.sh
ENTRYPOINT ["/usr/local/bin/entrypoint.sh"]
`
  const nomaly = `# Nomaly. Put a package of your own (\`npm pack\`) into package/, and that is installed instead of the published one.
FROM ${NODE_IMAGE}
COPY package/ /tmp/package/
# Without the embedded PostgreSQL: the cluster is there.
RUN set -eu; for file in /tmp/package/*.tgz; do [ -e "$file" ] || file=nomaly@${version}; npm install --global --omit=optional "$file"; done \\
 && rm -rf /tmp/package /root/.npm
COPY --chmod=0755 entrypoint.sh /usr/local/bin/entrypoint.sh
ENTRYPOINT ["/usr/local/bin/entrypoint.sh"]
`
  const entrypoint: Omit<ConfigFile, 'name'> = { text: ENTRYPOINT, mode: 0o755 }
  return [
    { name: 'database/Dockerfile', text: database, mode: 0o644 },
    { name: 'database/entrypoint.sh', ...entrypoint },
    { name: 'nomaly/Dockerfile', text: nomaly, mode: 0o644 },
    { name: 'nomaly/entrypoint.sh', ...entrypoint },
    { name: 'nomaly/package/.gitkeep', text: '', mode: 0o644 },
  ]
}

const ENTRYPOINT = `#!/bin/sh
# Begins as root, since the files in /config belong to whoever generated them: hands copies to the account of this part, and becomes it.
set -eu
umask 077
account=$NOMALY_ACCOUNT
mkdir -p /run/nomaly/config /run/nomaly/run /var/lib/nomaly
cp -r /config/. /run/nomaly/config/
for seed in redis.conf sentinel.conf; do
  # What its process rewrites is only begun with.
  if [ -e "/config/$seed" ] && [ ! -e "/var/lib/nomaly/$seed" ]; then cp "/config/$seed" /var/lib/nomaly/; fi
done
chown -R "$account": /run/nomaly/config /run/nomaly/run
if [ "$(stat -c %U /var/lib/nomaly)" != "$account" ] || [ -n "$(find /var/lib/nomaly -maxdepth 1 -user root)" ]; then
  chown -R "$account": /var/lib/nomaly
fi
chmod 0700 /var/lib/nomaly
export HOME=/run/nomaly/run
cd /var/lib/nomaly
exec setpriv --reuid "$account" --regid "$account" --init-groups -- "$@"
`
