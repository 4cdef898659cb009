import { resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { NomalyError } from '../../errors.ts'
import { readDeployment, writeDeployment } from '../../operations/deploy/deployment-folder.ts'
import { renderDeployment, type Target } from '../../operations/deploy/deployment.ts'
import { PRESETS, type Preset, TIMINGS, type Timing } from '../../operations/deploy/preset.ts'
import { readVersion } from '../../version.ts'
import { withExamples } from '../help-examples.ts'
import { type OutputOptions, paint, print, printJson, withOutput } from '../output.ts'
import { parseListen, parseMemory } from '../parse-place.ts'
import { Progress } from '../progress.ts'

interface DeployFlags extends OutputOptions {
  readonly ha?: boolean
  readonly folder: string
  readonly preset: Preset
  readonly timing: Timing
  readonly maxLoss: string
  readonly databaseMemory: string
  readonly listen: string
  readonly publicUrl?: string
  readonly pooler?: boolean
}

interface ComposeFlags extends DeployFlags {
  readonly subnet: string
}

interface SystemdFlags extends DeployFlags {
  readonly hosts: string
  readonly program: string
}

/** Adds `nomaly deploy …`. */
export function registerDeploy(program: Command): void {
  const command = program
    .command('deploy')
    .description(
      'Writes all files of an installation that survives the loss of a part: three PostgreSQL under Patroni with etcd, HAProxy, Redis with ' +
        'Sentinels, APIs and workers, with passwords and certificates made for it. Starts nothing. The same command on its folder keeps ' +
        'passwords and authority.',
    )
  const compose = withWishes(command.command('compose'))
    .description(
      'For Docker Compose, all on one machine: survives the loss of processes, not of the machine.',
    )
    .addOption(new Option('--subnet <network>', 'addresses of the containers').default('172.30.84.0/24'))
  withExamples(compose, [
    ['nomaly deploy compose --ha --folder nomaly-ha', 'no acknowledged write is lost'],
    ['nomaly deploy compose --ha --folder nomaly-ha --preset never-stop', 'writing goes on with one left'],
  ])
  compose.action((flags: ComposeFlags) => deploy(flags, { kind: 'compose', subnet: flags.subnet }))

  const systemd = withWishes(command.command('systemd'))
    .description('For three machines with Debian 12: survives the loss of one of them.')
    .requiredOption('--hosts <addresses>', 'private addresses of the three machines, with commas')
    .addOption(
      new Option('--program <path>', 'where nomaly is on each machine').default('/usr/local/bin/nomaly'),
    )
  withExamples(systemd, [
    ['nomaly deploy systemd --ha --hosts 10.0.0.1,10.0.0.2,10.0.0.3 --folder nomaly-ha', ''],
    [
      'nomaly deploy systemd --ha --hosts … --folder nomaly-ha --listen 0.0.0.0:443 --public-url https://nomaly.example.org',
      'open to the network',
    ],
  ])
  systemd.action((flags: SystemdFlags) =>
    deploy(flags, {
      kind: 'systemd',
      hosts: flags.hosts.split(',').map((host) => host.trim()),
      program: flags.program,
    }),
  )
}

function withWishes(command: Command): Command {
  command
    .option('--ha', 'highly available: the only kind there is; for one machine `nomaly start` needs no files')
    .requiredOption('--folder <path>', 'where to write; new, empty, or of an earlier call')
    .addOption(new Option('--preset <preset>', 'what is held dearer').choices(PRESETS).default('never-lose'))
    .addOption(
      new Option(
        '--timing <timing>',
        'how soon a leader that is silent is replaced: after 5 s or 30 s, about',
      )
        .choices(TIMINGS)
        .default('default'),
    )
    .option('--max-loss <size>', 'never-stop: a standby further behind is not promoted', '1MB')
    .option('--database-memory <size>', 'memory of each PostgreSQL', '2GB')
    .option('--listen <address>', 'where API and dashboard are reached, over TLS', '127.0.0.1:8420')
    .option(
      '--public-url <url>',
      'how browsers reach it (default: https://localhost with the port of --listen)',
    )
    .option('--pooler', 'PgBouncer too, for hundreds of processes')
  return withOutput(command)
}

async function deploy(flags: DeployFlags, target: Target): Promise<void> {
  if (flags.ha !== true)
    throw new NomalyError('invalid_input', 'Only highly available installations are written.', {
      hint: 'Add --ha. On one machine, without the rest, `nomaly start` is all it takes.',
      problems: [{ field: 'ha', reason: 'must be given' }],
    })
  const listen = parseListen(flags.listen)
  const folder = resolve(flags.folder)
  const wishes = {
    preset: flags.preset,
    timing: flags.timing,
    maxLagBytes: parseMemory('max-loss', flags.maxLoss),
    databaseMemoryBytes: parseMemory('database-memory', flags.databaseMemory),
    listen,
    publicUrl: publicUrlOf(flags.publicUrl, listen),
    pooler: flags.pooler === true,
  }
  const kept = await readDeployment(folder, target.kind)
  const bar = new Progress('Making certificates', 100)
  const { files, loss } = await renderDeployment(
    { wishes, target, version: readVersion() },
    kept,
    (done, total) => bar.update((100 * done) / total, `${done} of ${total}`),
  ).finally(() => bar.stop())
  await writeDeployment(folder, files)
  const { preset, timing, publicUrl } = wishes
  const isRenewed = kept.authority !== undefined
  if (flags.output !== 'table')
    return printJson({
      kind: target.kind,
      folder,
      preset,
      timing,
      loss,
      publicUrl,
      isRenewed,
      files: files.length,
    })
  print(
    `${files.length} files are in ${paint('bold', folder)}${isRenewed ? '; passwords and authority are those it had' : ''}.`,
  )
  print(`Preset ${paint('bold', preset)}, timing ${timing}. ${loss}`)
  print(`It will be reached at ${publicUrl}. README.md there says what to type next.`)
}

/** Beyond this machine a name is needed: the APIs refuse requests for any other. */
function publicUrlOf(
  given: string | undefined,
  listen: { readonly host: string; readonly port: number },
): string {
  const wrong = (reason: string, hint: string): NomalyError =>
    new NomalyError('invalid_input', `--public-url ${reason}.`, {
      hint,
      problems: [{ field: 'public-url', reason }],
    })
  if (given !== undefined) {
    if (!URL.canParse(given) || new URL(given).protocol !== 'https:')
      throw wrong(
        'must begin with https://',
        'API and dashboard are served over TLS: https://nomaly.example.org.',
      )
    return given
  }
  if (!['127.0.0.1', '::1'].includes(listen.host))
    throw wrong(
      'must be given where --listen opens it to the network',
      'Say how browsers reach it: --public-url https://nomaly.example.org.',
    )
  return `https://localhost:${listen.port}`
}
