import { chown, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import type { ServerAccount } from '../../src/database/embedded-account.ts'
import type { Cluster } from '../../src/operations/deploy/cluster.ts'
import type { MemberFiles } from '../../src/operations/deploy/render-members.ts'

/** Writes what the members of a cluster read into their folders, for the account they run as. */
export async function writeMembers(plan: Cluster, files: MemberFiles, account: ServerAccount): Promise<void> {
  const members = [
    plan.etcd,
    plan.databases,
    plan.balancers,
    plan.poolers,
    plan.redis,
    plan.sentinels,
    plan.apis,
  ].flat()
  for (const { name, places } of members) {
    for (const folder of [join(places.config, '..'), places.config, places.data, places.run]) {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      if (account.switched) await chown(folder, account.uid, account.gid)
    }
    for (const file of files.get(name) ?? []) {
      // What its process writes to itself, such as the configuration of a Sentinel, begins among its data.
      const path = join(file.isSeed === true ? places.data : places.config, file.name)
      await writeFile(path, file.text, { mode: file.mode })
      if (account.switched) await chown(path, account.uid, account.gid)
    }
  }
}
