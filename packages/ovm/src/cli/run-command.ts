import { OvmError } from "../errors.ts"
import type { ExecEnd, Runtime } from "../runtime/interfaces.ts"
import { hasEnded } from "../runtime/states.ts"
import { useDaemon } from "./daemon.ts"
import { nameFor } from "./digits.ts"
import { refuseBadEnd } from "./end.ts"
import { type ExecOptions, execRequest, insideBy } from "./exec-options.ts"
import { hinted } from "./hinted.ts"
import { runInside } from "./inside.ts"
import { interruptible } from "./interrupt.ts"
import { removed, tellKept } from "./kept.ts"
import { launch } from "./launch.ts"
import type { MachineOptions } from "./machine-options.ts"
import { type PullPolicy, pullByPolicy, pullCall } from "./pull-policy.ts"
import { stopped } from "./stop.ts"

/** How long a guest may take from its first instruction to its agent unless told, in s. */
const BOOT = 300

interface Options extends MachineOptions, ExecOptions {
  readonly json?: boolean
  readonly pull: PullPolicy
  readonly plainHttp?: boolean
}

/**
 * Starts a machine, runs a command in it as soon as its agent answers, and ends the machine with it: one of `--rm` at
 * once, any other as `ovm stop` does. Throws OVM_USAGE, what a start can throw, and what runInside does.
 */
export async function runCommand(text: string, words: readonly string[], options: Options): Promise<ExecEnd> {
  refuseOthers(options)
  const how = insideBy(options)
  const { wait = BOOT, ...others } = options
  const request = execRequest(words, others)
  const { runtime, id } = await interruptible((signal) => begun(text, options, signal))
  try {
    await interruptible((signal) => runtime.ready(id, { timeoutMs: wait * 1000, signal }))
    await refuseUnmounted(runtime, id)
    return await runInside(runtime, id, request, how)
  } catch (thrown) {
    throw await reasonOf(runtime, id, thrown)
  } finally {
    await end(runtime, id, options)
  }
}

async function begun(text: string, options: Options, signal: AbortSignal) {
  const image = await nameFor(text)
  await pullByPolicy(image, options.pull, pullCall(options, signal))
  const runtime = await useDaemon({ signal })
  return { runtime, id: (await launch(runtime, image, { ...options, agent: true }, { signal })).instance_id }
}

/** What a command left elsewhere than on its share would be gone with the machine. */
async function refuseUnmounted(runtime: Runtime, id: string): Promise<void> {
  const { shares = [] } = await runtime.status(id)
  const { source, target, reason } = shares.find(({ mounted }) => !mounted) ?? {}
  if (target === undefined) return
  throw new OvmError("OVM_UNSUPPORTED", `the guest has not mounted ${source} at ${target}: ${reason}`, {
    hint: "its kernel needs 9p and 9pnet_virtio; ovm run -d, then ovm exec, lets you look",
  })
}

/** Of a machine that has ended its own end is the reason. */
async function reasonOf(runtime: Runtime, id: string, thrown: unknown): Promise<unknown> {
  const info = await runtime.status(id).catch(() => undefined)
  if (info && hasEnded(info.state)) refuseBadEnd(info)
  const hint =
    "the machine's image needs an initrd, or an agent of its own; ovm logs shows how far a guest came"
  return hinted(thrown, "OVM_AGENT_UNAVAILABLE", hint)
}

async function end(runtime: Runtime, id: string, { rm }: Options): Promise<void> {
  if (rm) return await removed(runtime, id)
  const info = await runtime.status(id)
  await stopped(runtime, info, undefined)
  tellKept(info.name)
}

function refuseOthers({ json, agent, restart }: Options): void {
  if (json) throw new OvmError("OVM_USAGE", "what a command prints is printed as it is, without '--json'")
  if (agent === false) throw new OvmError("OVM_USAGE", "a command needs the agent that '--no-agent' forbids")
  if (restart !== undefined && restart !== "no")
    throw new OvmError("OVM_USAGE", "a machine that ends with its command has no '--restart'")
}

/** Throws OVM_USAGE for what is said of a command where there is none. */
export function refuseExecOptions({
  interactive,
  tty,
  user,
  workdir,
  env,
  timeout,
  wait,
}: ExecOptions): void {
  const given = { "--interactive": interactive, "--tty": tty, "--user": user, "--workdir": workdir }
  const more = { "--env": env, "--timeout": timeout, "--wait": wait }
  const [option] = Object.entries({ ...given, ...more }).find(([, value]) => value !== undefined) ?? []
  if (option !== undefined)
    throw new OvmError("OVM_USAGE", `option '${option}' is of a command, and none is given`, {
      hint: "a command stands behind the image: ovm run -it IMAGE sh",
    })
}
