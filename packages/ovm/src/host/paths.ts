import { isAbsolute, join, resolve } from "node:path"
import { OvmError } from "../errors.ts"

/** Where everything lives (docs/design/0002-one-root.md). */
export interface Paths {
  readonly root: string
  /** The content store: an OCI image layout. */
  readonly store: string
  readonly instances: string
  readonly cache: string
  /** Where the daemon's socket should be: by the environment, so that another command may take it to be elsewhere. */
  readonly socket: string
  /** Where every command finds it: the socket itself, or a symbolic link to where the daemon could make it. */
  readonly link: string
  readonly lock: string
  readonly log: string
  /** Settings of registries (docs/registries.md). */
  readonly registries: string
  /** Settings of the daemon (docs/daemon.md). */
  readonly settings: string
  /** What may run here (spec/policy.md). */
  readonly policy: string
}

/**
 * `OVM_HOME` isolates everything, the socket too; root has /var/lib and /run; others follow the XDG base directories.
 * Throws OVM_USAGE for somebody without a home who names no other place, and for a place whose name is not UTF-8.
 */
export function paths(env: Record<string, string | undefined> = process.env): Paths {
  if (env.OVM_HOME) return layout(resolve(env.OVM_HOME), resolve(env.OVM_HOME), resolve(env.OVM_HOME))
  if (process.getuid?.() === 0) return layout("/var/lib/ovm", "/run/ovm", "/etc/ovm")
  const root = join(absolute(env.XDG_DATA_HOME) ?? join(home(env), ".local/share"), "ovm")
  const runtime = absolute(env.XDG_RUNTIME_DIR)
  const config = join(absolute(env.XDG_CONFIG_HOME) ?? join(home(env), ".config"), "ovm")
  return layout(root, runtime ? join(runtime, "ovm") : root, config)
}

/**
 * $HOME, else what the user database says; undefined for who has neither. Of a relative one nobody could tell what it
 * is relative to.
 */
export function homeFolder(env: Record<string, string | undefined> = process.env): string | undefined {
  return absolute(env.HOME) ?? absolute(homeOfUser())
}

function home(env: Record<string, string | undefined>): string {
  const found = homeFolder(env)
  if (found !== undefined) return found
  throw new OvmError("OVM_USAGE", "there is no home directory to keep data in: HOME is not set", {
    hint: "OVM_HOME=FOLDER",
  })
}

/** Loaded only here: those who have OVM_HOME or are root go without. */
function homeOfUser(): string | undefined {
  try {
    return process.getBuiltinModule("node:os").homedir()
  } catch {
    return undefined
  }
}

/** The XDG specification has relative values ignored. */
function absolute(path: string | undefined): string | undefined {
  return path && isAbsolute(path) ? path : undefined
}

function layout(root: string, run: string, config: string): Paths {
  // What is no UTF-8 comes as U+FFFD: the path of another folder, which others may come to as well.
  for (const path of [root, run, config])
    if (path.includes("\uFFFD"))
      throw new OvmError("OVM_USAGE", `${path} is no place for data: its name is not UTF-8`, {
        hint: "OVM_HOME=FOLDER",
      })
  return {
    root,
    store: join(root, "store"),
    instances: join(root, "instances"),
    cache: join(root, "cache"),
    socket: join(run, "ovm.sock"),
    link: join(root, "ovm.sock"),
    lock: join(root, "daemon.lock"),
    log: join(root, "daemon.log"),
    registries: join(config, "registries.json"),
    settings: join(config, "daemon.json"),
    policy: join(config, "policy.json"),
  }
}
