import { isAbsolute, join, resolve } from "node:path"

/** Where everything lives (docs/design/0002-one-root.md). */
export interface Paths {
  readonly root: string
  /** The content store: an OCI image layout. */
  readonly store: string
  readonly instances: string
  readonly cache: string
  readonly socket: string
  readonly lock: string
  readonly log: string
  /** Settings of registries (docs/registries.md). */
  readonly registries: string
  /** What may run here (spec/policy.md). */
  readonly policy: string
}

/** `OVM_HOME` isolates everything, the socket too; root has /var/lib and /run; others follow the XDG base directories. */
export function paths(env: Record<string, string | undefined> = process.env): Paths {
  if (env.OVM_HOME) return layout(resolve(env.OVM_HOME), resolve(env.OVM_HOME), resolve(env.OVM_HOME))
  if (process.getuid?.() === 0) return layout("/var/lib/ovm", "/run/ovm", "/etc/ovm")
  const root = join(absolute(env.XDG_DATA_HOME) ?? join(home(), ".local/share"), "ovm")
  const runtime = absolute(env.XDG_RUNTIME_DIR)
  const config = join(absolute(env.XDG_CONFIG_HOME) ?? join(home(), ".config"), "ovm")
  return layout(root, runtime ? join(runtime, "ovm") : root, config)
}

/** Loaded only here: those who have OVM_HOME or are root go without. */
function home(): string {
  return process.getBuiltinModule("node:os").homedir()
}

/** The XDG specification has relative values ignored. */
function absolute(path: string | undefined): string | undefined {
  return path && isAbsolute(path) ? path : undefined
}

function layout(root: string, run: string, config: string): Paths {
  return {
    root,
    store: join(root, "store"),
    instances: join(root, "instances"),
    cache: join(root, "cache"),
    socket: join(run, "ovm.sock"),
    lock: join(root, "daemon.lock"),
    log: join(root, "daemon.log"),
    registries: join(config, "registries.json"),
    policy: join(config, "policy.json"),
  }
}
